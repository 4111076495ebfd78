//! Cutting a batch into tasks: by sequence, query tile, KV head and, where threads would be idle,
//! ranges of chunks. How it is cut never changes a result.

use crate::cpu::kernels::MAX_ROWS;
use crate::plan::{CHUNK, Plan};

/// Query rows (tokens × heads of a group) per tile: what is kept of a tile stays in the L2 cache.
const TILE_ROWS: usize = 64;
/// Tasks per thread that make the last ones to finish short.
const TASKS_PER_THREAD: usize = 4;

/// A piece of work: query tokens of a sequence, KV heads, and chunks of its keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) sequence: usize,
    /// The query tokens, relative to the sequence's first.
    pub(crate) queries: (usize, usize),
    pub(crate) heads: (usize, usize),
    pub(crate) chunks: (usize, usize),
    /// Where the states of its chunks go, counted in row states, if the task is not all of its
    /// queries' chunks.
    pub(crate) partial: Option<usize>,
}

/// A batch cut up for a number of threads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Work {
    pub(crate) tasks: Vec<Task>,
    /// What was divided by chunks and is to be merged, per KV head; `partial` is its first state.
    pub(crate) joins: Vec<(Task, usize)>,
    /// Row states that need room until then.
    pub(crate) states: usize,
}

impl Work {
    /// Cuts the plan's batch for the threads of the ambient pool.
    pub(crate) fn new(plan: &Plan) -> Self {
        let threads = rayon::current_num_threads();
        let wholes = wholes(plan);
        let total: usize = wholes.iter().map(|t| cost(plan, t)).sum();
        let mut work = Self::default();
        for whole in wholes {
            let chunks = whole.chunks.1 - whole.chunks.0;
            let share = (total / (threads * TASKS_PER_THREAD)).max(1);
            let parts = (cost(plan, &whole) / share).clamp(1, chunks.max(1));
            if threads == 1 || parts == 1 {
                work.tasks.push(whole);
                continue;
            }
            let rows = rows_per_head(plan, &whole) * (whole.heads.1 - whole.heads.0);
            let first = work.states;
            work.states += rows * chunks;
            let divided = Task { partial: Some(first), ..whole };
            work.joins.extend((whole.heads.0..whole.heads.1).map(|head| (divided, head)));
            for part in 0..parts {
                let from = chunks * part / parts;
                let to = chunks * (part + 1) / parts;
                let chunks = (whole.chunks.0 + from, whole.chunks.0 + to);
                work.tasks.push(Task { chunks, partial: Some(first + from * rows), ..whole });
            }
        }
        // The large ones first; the small ones fill the gaps at the end.
        work.tasks.sort_by_key(|t| std::cmp::Reverse(cost(plan, t)));
        work
    }
}

/// Query rows of one KV head in a task.
pub(crate) fn rows_per_head(plan: &Plan, task: &Task) -> usize {
    (task.queries.1 - task.queries.0) * plan.group_size()
}

/// Every query tile with all its chunks.
fn wholes(plan: &Plan) -> Vec<Task> {
    let (heads, group) = (plan.cache().num_kv_heads, plan.group_size());
    let mut tasks = Vec::new();
    for (index, sequence) in plan.batch().sequences().iter().enumerate() {
        // With few rows, reading the cache is what takes time: all heads of a block lie together,
        // and one task reads them all. With many, a head's rows fill a tile by themselves.
        let few = sequence.q_len * group <= 2 * MAX_ROWS;
        let tile = if few { sequence.q_len.max(1) } else { (TILE_ROWS / group).max(1) };
        let heads_each = if few { heads } else { 1 };
        for q in (0..sequence.q_len).step_by(tile) {
            let queries = (q, (q + tile).min(sequence.q_len));
            let (from, to) = span(plan, index, queries);
            let chunks = (from / CHUNK, to.div_ceil(CHUNK).max(from / CHUNK));
            for head in (0..heads).step_by(heads_each) {
                let heads = (head, head + heads_each);
                tasks.push(Task { sequence: index, queries, heads, chunks, partial: None });
            }
        }
    }
    tasks
}

/// The keys that any of the queries sees.
pub(crate) fn span(plan: &Plan, sequence: usize, queries: (usize, usize)) -> (usize, usize) {
    let sequence = &plan.batch().sequences()[sequence];
    let first = plan.visible(sequence, queries.0);
    let last = plan.visible(sequence, queries.1 - 1);
    (first.start, last.end)
}

/// What a task takes, roughly: reading and converting keys costs as much as two rows.
fn cost(plan: &Plan, task: &Task) -> usize {
    let chunks = task.chunks.1 - task.chunks.0;
    chunks * (task.heads.1 - task.heads.0) * (rows_per_head(plan, task) + 2)
}
