//! `fp8kv generate`: text that continues prompts.

use std::time::Instant;

use engine::chat::{ChatTemplate, Message};
use engine::device::DeviceReport;
use engine::llm::{Event, Llm, Prompt, RequestOutput, Warning};
use engine::sampling::{Sampled, SamplingParams};
use kv_scales::ResolvedScales;
use serde::Serialize;

use crate::args::{EngineArgs, ModelArgs};
use crate::bytes::readable;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;

/// Continue prompts.
///
/// Greedy unless --temperature is given. What the KV cache took, and saved, goes to stderr.
#[derive(clap::Args)]
#[command(args_override_self = true)]
pub(crate) struct Args {
    /// Text to continue; several are generated together
    #[arg(required = true, value_name = "PROMPT")]
    prompts: Vec<String>,
    #[command(flatten)]
    model: ModelArgs,
    /// What K and V are stored as: a name, or `k=NAME,v=NAME` [default: `fp8` for the embedded
    /// model, else `auto`]
    #[arg(long, value_name = "DTYPE")]
    kv_cache_dtype: Option<String>,
    #[command(flatten)]
    engine: EngineArgs,
    /// Treat each prompt as a user's message, in the model's chat template
    #[arg(long)]
    chat: bool,
    /// Generate at most this many tokens per prompt
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_tokens: usize,
    /// Sample at this temperature; 0 takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    temperature: f32,
    /// Sample from the likeliest tokens whose probabilities reach this sum
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f32,
    /// Sample from this many of the likeliest tokens
    #[arg(long, value_name = "K")]
    top_k: Option<u32>,
    /// Sample from tokens at least this fraction as likely as the likeliest
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    min_p: f32,
    /// Make sampling reproducible [default: a new seed for every run]
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// End before this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// End at this token id, beside the model's own end; may be given several times
    #[arg(long, value_name = "ID")]
    stop_token_id: Vec<u32>,
    /// Go on after the model's own end of sequence
    #[arg(long)]
    ignore_eos: bool,
    /// Report the log probability of every token, and of the N likeliest beside it (with --json)
    #[arg(long, value_name = "N", requires = "json")]
    logprobs: Option<usize>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    model: String,
    outputs: Vec<Output<'a>>,
    kv_cache: KvCache<'a>,
    device: &'a DeviceReport,
}

#[derive(Serialize)]
struct Output<'a> {
    prompt: &'a str,
    text: &'a str,
    token_ids: &'a [u32],
    finish_reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Vec<TokenLogprob<'a>>>,
}

#[derive(Serialize)]
struct TokenLogprob<'a> {
    token_id: u32,
    logprob: f32,
    top: &'a [(u32, f32)],
}

#[derive(Serialize)]
struct KvCache<'a> {
    dtype: &'a str,
    scales: &'static str,
    scales_fingerprint: Option<String>,
    blocks: usize,
    block_size: usize,
    bytes: u64,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let params = params(args);
    params.validate()?;
    let dtypes = args.model.dtypes(args.kv_cache_dtype.as_deref())?;
    let template = if args.chat { Some(template(&args.model)?) } else { None };
    let mut llm = args.engine.load(&args.model, dtypes)?;
    let prompts = prompts(args, template.as_ref(), &llm)?;
    let start = Instant::now();
    let mut show = Show::new(args, &prompts, warnings(args, &llm));
    let outputs = llm.generate_with(&prompts, &params, &mut (), &mut |event| show.event(&event))?;
    let seconds = start.elapsed().as_secs_f64();
    let streamed = show.finish()?;
    if args.json {
        output::print_json(&report(args, &llm, &outputs))?;
    } else if !streamed {
        let texts = args.prompts.iter().zip(&outputs).map(|(prompt, output)| {
            let prompt = if args.chat { "" } else { prompt };
            format!("{prompt}{}\n", output.outputs[0].text)
        });
        output::print(&texts.collect::<Vec<_>>().join("\n"))?;
    }
    output::note(&summary(&llm, &outputs, seconds));
    Ok(())
}

fn params(args: &Args) -> SamplingParams {
    SamplingParams {
        temperature: args.temperature,
        top_p: args.top_p,
        top_k: args.top_k,
        min_p: args.min_p,
        max_tokens: args.max_tokens,
        seed: args.seed,
        stop_token_ids: args.stop_token_id.clone(),
        stop: args.stop.clone(),
        ignore_eos: args.ignore_eos,
        logprobs: args.logprobs,
    }
}

fn template(model: &ModelArgs) -> Result<ChatTemplate, Failure> {
    ChatTemplate::from_checkpoint(&model.open()?)?
        .ok_or(Failure::ModelLacks { what: "chat template", needed_by: "--chat" })
}

/// What the user should know. That the embedded model has no scales is this program's choice, not
/// the user's, so a first run does not warn of it; `inspect` tells.
fn warnings(args: &Args, llm: &Llm) -> Vec<String> {
    if args.model.dir().is_none() && args.kv_cache_dtype.is_none() {
        return Vec::new();
    }
    let line = |w: &Warning| format!("warning: {} [{}]", output::one_line(&w.message), w.code);
    llm.warnings().iter().map(line).collect()
}

/// What is fed. A chat template writes its own special tokens, so its text is encoded plainly.
fn prompts(
    args: &Args,
    template: Option<&ChatTemplate>,
    llm: &Llm,
) -> Result<Vec<Prompt>, Failure> {
    let Some(template) = template else {
        return Ok(args.prompts.iter().map(|text| Prompt::Text(text.clone())).collect());
    };
    let tokenizer = llm
        .tokenizer()
        .ok_or(Failure::ModelLacks { what: "tokenizer.json", needed_by: "--chat" })?;
    let mut prompts = Vec::new();
    for prompt in &args.prompts {
        let text = template.render(&[Message::user(prompt)], true)?;
        prompts.push(Prompt::TokenIds(tokenizer.encode_plain(&text)?));
    }
    Ok(prompts)
}

/// Shows generation as it happens: one prompt's text on stdout, or a bar for several.
struct Show<'a> {
    text: Option<&'a str>,
    progress: Option<Progress>,
    warnings: Vec<String>,
    result: Result<(), Failure>,
}

impl<'a> Show<'a> {
    fn new(args: &'a Args, prompts: &[Prompt], warnings: Vec<String>) -> Self {
        let streams = !args.json && prompts.len() == 1;
        let steps = (prompts.len() * args.max_tokens) as u64;
        let head = if args.chat { "" } else { args.prompts[0].as_str() };
        Self {
            text: streams.then_some(head),
            progress: (!streams).then(|| Progress::new(steps, "tokens")),
            warnings,
            result: Ok(()),
        }
    }

    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Token { text, .. } => {
                // Not before the first token: a refusal is one line.
                self.warnings.drain(..).for_each(|line| output::note(&line));
                if let Some(progress) = &mut self.progress {
                    progress.step();
                }
                self.write(text);
            }
            Event::Finished { text, .. } => self.write(text),
            _ => {}
        }
    }

    fn write(&mut self, text: &str) {
        // The prompt goes out with the first token: a refused prompt prints nothing.
        if let (Some(head), Ok(())) = (&mut self.text, &self.result) {
            self.result = output::print(std::mem::take(head)).and_then(|()| output::print(text));
        }
    }

    /// Whether the text is out already.
    fn finish(mut self) -> Result<bool, Failure> {
        self.write("\n");
        self.result.map(|()| self.text.is_some())
    }
}

fn report<'a>(args: &'a Args, llm: &'a Llm, outputs: &'a [RequestOutput]) -> Report<'a> {
    let output = |(prompt, output): (&'a String, &'a RequestOutput)| {
        let completion = &output.outputs[0];
        let logprob =
            |s: &'a Sampled| TokenLogprob { token_id: s.token, logprob: s.logprob, top: &s.top };
        Output {
            prompt,
            text: &completion.text,
            token_ids: &completion.token_ids,
            finish_reason: completion.finish_reason.name(),
            logprobs: completion.logprobs.as_ref().map(|l| l.iter().map(logprob).collect()),
        }
    };
    let capacity = llm.capacity();
    Report {
        model: args.model.name(),
        outputs: args.prompts.iter().zip(outputs).map(output).collect(),
        kv_cache: KvCache {
            dtype: llm.kv_cache_dtype(),
            scales: scales(llm),
            scales_fingerprint: llm.scales().map(|s| output::hex(&s.fingerprint())),
            blocks: capacity.config.num_blocks,
            block_size: capacity.config.block_size(),
            bytes: capacity.bytes(),
        },
        device: llm.device(),
    }
}

/// Where the KV scales came from.
fn scales(llm: &Llm) -> &'static str {
    llm.scales().map_or("none", ResolvedScales::source)
}

/// What the KV cache took, what it saved, and how fast it went.
fn summary(llm: &Llm, outputs: &[RequestOutput], seconds: f64) -> String {
    let capacity = llm.capacity();
    let tokens: usize = outputs.iter().map(|o| o.outputs[0].token_ids.len()).sum();
    let (config, bytes) = (llm.config(), capacity.bytes());
    let against = config.dtype.map_or(String::new(), |dtype| {
        let token = 2 * config.num_layers * config.num_kv_heads * config.head_dim * dtype.size();
        let ratio = bytes as f64 / (token * capacity.config.num_tokens()) as f64;
        match dtype.name() {
            name if ratio < 1.0 => format!(" ({:.0}% saved against {name})", 100.0 * (1.0 - ratio)),
            name if ratio > 1.0 => format!(" ({ratio:.1} times what {name} takes)"),
            _ => String::new(),
        }
    });
    let device = match llm.device() {
        device if device.name.is_some() => format!(", on {device}"),
        _ => String::new(),
    };
    format!(
        "KV cache {}{}: {} blocks of {} tokens, {}{}; {tokens} tokens in {seconds:.2} s, {:.1} \
         tokens/s{device}",
        llm.kv_cache_dtype(),
        if scales(llm) == "on_the_fly" { ", scales calculated on the fly" } else { "" },
        capacity.config.num_blocks,
        capacity.config.block_size(),
        readable(bytes),
        against,
        tokens as f64 / seconds,
    )
}
