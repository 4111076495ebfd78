//! Templates against what jinja2 makes of them (`tests/data`), and where they are found.

use std::borrow::Cow;

use super::*;

fn tokens() -> BTreeMap<String, String> {
    [("bos_token", "<s>"), ("eos_token", "</s>")].map(|(k, v)| (k.into(), v.into())).into()
}

fn render(source: &str) -> Result<String, Error> {
    ChatTemplate::new(source, tokens())?.render(&[Message::user("Hi")], true)
}

#[test]
fn templates_render_as_in_jinja2() {
    #[derive(Deserialize)]
    struct Case {
        name: String,
        template: String,
        messages: Vec<Message>,
        add_generation_prompt: bool,
        expected: Option<String>,
        error: Option<String>,
    }
    let cases = include_str!("../../tests/data/chat_templates.json");
    for case in serde_json::from_str::<Vec<Case>>(cases).unwrap() {
        let template = ChatTemplate::new(&case.template, tokens()).unwrap();
        match template.render(&case.messages, case.add_generation_prompt) {
            Ok(text) => assert_eq!(Some(text), case.expected, "{}", case.name),
            Err(e) => {
                let expected = case.error.unwrap_or_else(|| panic!("{}: {e}", case.name));
                assert!(e.to_string().contains(&expected), "{}: {e}", case.name);
            }
        }
    }
}

#[test]
fn the_date_is_in_pythons_notation() {
    let year = render("{{ strftime_now('%Y') }}").unwrap();
    assert_eq!(year, jiff::Zoned::now().year().to_string());
    assert_eq!(render("{{ strftime_now('%d %b %Y') }}").unwrap().len(), "05 Nov 2026".len());
    render("{{ strftime_now('%') }}").unwrap_err();
}

#[test]
fn a_broken_template_is_an_error_with_its_line() {
    let error = render("a\n{% if %}").unwrap_err().to_string();
    assert!(error.starts_with("chat template: ") && error.contains("line 2"), "{error}");
    assert!(!error.contains('\n'), "{error}");
    let error = render("{{ raise_exception('no system role') }}").unwrap_err().to_string();
    assert!(error.contains("no system role"), "{error}");
    let error = render("{{ messages[0].missing.deeper }}").unwrap_err().to_string();
    assert!(error.contains("undefined"), "{error}");
}

fn checkpoint(files: &[(&str, &str)]) -> Checkpoint {
    let owned = |&(name, text): &(&str, &str)| {
        (name.to_owned(), Cow::Owned::<'static, [u8]>(text.as_bytes().to_vec()))
    };
    Checkpoint::from_memory(
        std::iter::once(&("config.json", "{}")).chain(files).map(owned).collect(),
    )
    .unwrap()
}

fn rendered(files: &[(&str, &str)]) -> Result<Option<String>, Error> {
    let template = ChatTemplate::from_checkpoint(&checkpoint(files))?;
    template.map(|t| t.render(&[Message::user("Hi")], false)).transpose()
}

#[test]
fn the_template_is_found_in_every_place() {
    let config = "tokenizer_config.json";
    assert_eq!(rendered(&[]).unwrap(), None);
    assert_eq!(rendered(&[(config, "{}")]).unwrap(), None);
    let text = r#"{"chat_template": "{{ bos_token }}s", "bos_token": {"content": "<b>"}}"#;
    assert_eq!(rendered(&[(config, text)]).unwrap().unwrap(), "<b>s");
    let file = ("chat_template.jinja", "file {{ bos_token }}");
    assert_eq!(rendered(&[(config, text), file]).unwrap().unwrap(), "file <b>");
    let list = r#"{"chat_template": [{"name": "tool_use", "template": "t"},
                                     {"name": "default", "template": "d{{ eos_token }}"}],
                   "eos_token": "</e>", "bos_token": null}"#;
    assert_eq!(rendered(&[(config, list)]).unwrap().unwrap(), "d</e>");
    for bad in [r#"{"chat_template": 3}"#, r#"{"chat_template": []}"#, r#"{"chat_template": "{%"}"#]
    {
        let error = rendered(&[(config, bad)]).unwrap_err();
        assert!(matches!(error, Error::ChatTemplate { .. }), "{error}");
    }
}
