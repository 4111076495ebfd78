//! The random steps: each does something to the cache and the same to the model, and knows what the
//! answer must be.

use paged_cache::{Error, Group, Place, Prompt, SeqId};

use super::model::{Op, Sequence, World, first_needed};

/// How many kinds of steps there are.
pub(crate) const KINDS: u8 = 20;

type Outcome = Result<(), Error>;

impl World {
    /// Takes one step. An error is what the cache said; the caller checks that nothing changed.
    pub(crate) fn step(&mut self, op: Op) -> Outcome {
        match op.kind % KINDS {
            0..=2 => self.admit(op),
            3..=6 => self.append(op),
            7..=9 => self.commit(op),
            10 => self.fork(op),
            11 => self.truncate(op),
            12 => self.free(op),
            13 => self.reserve(op),
            14 => self.pin(op),
            15 => self.offload(op),
            16 => self.end_move(op),
            17 => self.swap(op),
            18 => self.resize_or_reset(op),
            _ => self.nonsense(op),
        }
    }

    fn pick(&self, n: u32) -> Option<SeqId> {
        self.sequences.keys().nth(n as usize % self.sequences.len().max(1)).copied()
    }

    /// A sequence that is whole and on the device.
    fn pick_usable(&self, n: u32) -> Option<SeqId> {
        let seq = self.pick(n)?;
        let sequence = &self.sequences[&seq];
        (!sequence.broken && !sequence.swapped && !self.is_loading(seq)).then_some(seq)
    }

    /// Few different prompts, so that they share beginnings.
    fn prompt(op: Op) -> Sequence {
        let length = op.a % 40;
        let stream = op.a / 40 % 3;
        let differs_at = op.a / 120 % 64;
        let token = |at| if at < differs_at { at * 3 + stream } else { at * 5 + op.a / 7680 % 4 };
        let extras = match op.b % 8 {
            0 => vec![(3..9, (op.b / 8 % 2) as u8)],
            1 => vec![(12..14, 1), (2..6, (op.b / 8 % 2) as u8)],
            _ => vec![],
        };
        Sequence {
            salt: if (op.b / 16).is_multiple_of(4) { (op.b / 64 % 3) as u8 } else { 0 },
            lora: (op.b / 192).is_multiple_of(8).into(),
            extras,
            tokens: (0..length).map(token).collect(),
            num_tokens: 0,
            num_committed: 0,
            swapped: false,
            broken: false,
            kept_from: Vec::new(),
        }
    }

    fn admit(&mut self, op: Op) -> Outcome {
        let mut prompt = Self::prompt(op);
        let salt = &[prompt.salt][..usize::from(prompt.salt > 0)];
        let lora = ["", "adapter"][usize::from(prompt.lora)];
        let keys: Vec<_> =
            prompt.extras.iter().map(|(range, key)| (range.clone(), [*key])).collect();
        let extras: Vec<_> = keys.iter().map(|(range, key)| (range.clone(), &key[..])).collect();
        let tokens = prompt.tokens.clone();
        let chunk =
            if (op.b / 1536).is_multiple_of(3) { 1 + op.b as usize / 4608 % 9 } else { usize::MAX };
        let mut request = Prompt::new(&tokens).with_salt(salt).with_lora(lora);
        request = request.with_extras(&extras).with_chunk(chunk);
        let anew = (op.b / 41_472).is_multiple_of(16);
        if anew {
            request = request.computed_anew();
        }
        let hit = match self.cache.config().prefix_caching && !anew {
            true => self.expected_hit(&prompt),
            false => 0,
        };
        assert_eq!(self.cache.num_cached_tokens(request)?, hit, "the hit of a look-up");
        let seq = SeqId(self.next_seq);
        let admission = self.cache.admit(seq, request)?;
        assert_eq!(admission.cached_tokens, hit, "the hit of an admission");
        assert_eq!(admission.slots.positions(), hit..tokens.len().min(hit.saturating_add(chunk)));
        let (end, loads) = (admission.slots.positions().end, admission.loads.to_vec());
        self.next_seq += 1;
        self.hits += hit as u64;
        prompt.num_tokens = end;
        prompt.num_committed = hit;
        prompt.kept_from = self.groups.iter().map(|group| first_needed(group, hit)).collect();
        self.sequences.insert(seq, prompt);
        self.moves.extend(loads);
        self.write(seq, hit..end);
        Ok(())
    }

    fn append(&mut self, op: Op) -> Outcome {
        let Some(seq) = self.pick_usable(op.a) else { return Ok(()) };
        let n = op.b as usize % 12;
        let append = self.cache.append(seq, n)?;
        let (positions, copies) = (append.slots.positions(), append.copies.to_vec());
        let sequence = self.sequences.get_mut(&seq).expect("picked");
        assert_eq!(positions, sequence.num_tokens..sequence.num_tokens + n);
        for at in sequence.tokens.len()..positions.end {
            sequence.tokens.push(at as u32 * 3 + op.b / 12 % 2);
        }
        sequence.num_tokens = positions.end;
        self.keep(seq, positions.start);
        for copy in copies {
            self.copy(copy.src, copy.dst);
        }
        self.write(seq, positions);
        Ok(())
    }

    fn reserve(&mut self, op: Op) -> Outcome {
        let Some(seq) = self.pick_usable(op.a) else { return Ok(()) };
        let n = op.b as usize % 12;
        for copy in self.cache.reserve(seq, n)?.to_vec() {
            self.copy(copy.src, copy.dst);
        }
        let start = self.sequences[&seq].num_tokens;
        self.keep(seq, start);
        // What is in reserve cannot be refused, nor need a copy.
        if (op.b / 12).is_multiple_of(2) {
            let mut probe = self.cache.clone();
            let append = probe.append(seq, n).expect("it was reserved");
            assert!(append.copies.is_empty(), "a copy after a reservation");
        }
        Ok(())
    }

    /// From now on only what the token at `position` looks at need be there.
    fn keep(&mut self, seq: SeqId, position: usize) {
        let sequence = self.sequences.get_mut(&seq).expect("it is there");
        for (kept, group) in sequence.kept_from.iter_mut().zip(&self.groups) {
            *kept = (*kept).max(first_needed(group, position));
        }
    }

    fn commit(&mut self, op: Op) -> Outcome {
        let Some(seq) = self.pick_usable(op.a) else { return Ok(()) };
        let sequence = self.sequences.get_mut(&seq).expect("picked");
        let open = sequence.num_tokens - sequence.num_committed;
        let n = if op.b.is_multiple_of(2) { open } else { op.b as usize / 2 % (open + 1) };
        let range = sequence.num_committed..sequence.num_committed + n;
        self.cache.commit(seq, &sequence.tokens[range])?;
        sequence.num_committed += n;
        Ok(())
    }

    fn fork(&mut self, op: Op) -> Outcome {
        let Some(parent) = self.pick_usable(op.a) else { return Ok(()) };
        let child = SeqId(self.next_seq);
        self.cache.fork(parent, child)?;
        self.next_seq += 1;
        let mut sequence = self.sequences[&parent].clone();
        // Its future is its own.
        sequence.tokens.truncate(sequence.num_tokens);
        self.sequences.insert(child, sequence);
        Ok(())
    }

    fn truncate(&mut self, op: Op) -> Outcome {
        let Some(seq) = self.pick_usable(op.a) else { return Ok(()) };
        let sequence = &self.sequences[&seq];
        let length = op.b as usize % (sequence.num_tokens + 1);
        let block_edge = |kept: usize, group: &Group| kept - kept % group.block_size;
        let lost = self.groups.iter().zip(&sequence.kept_from).any(|(group, &kept)| {
            let first = block_edge(first_needed(group, length), group);
            first < block_edge(kept, group) && first < length
        });
        let answer = self.cache.truncate(seq, length);
        assert_eq!(matches!(answer, Err(Error::LetGo { .. })), lost, "{answer:?} for {length}");
        answer?;
        let sequence = self.sequences.get_mut(&seq).expect("picked");
        sequence.tokens.truncate(length);
        sequence.num_tokens = length;
        sequence.num_committed = sequence.num_committed.min(length);
        for (kept, group) in sequence.kept_from.iter_mut().zip(&self.groups) {
            *kept = first_needed(group, length).clamp(block_edge(*kept, group), *kept).min(length);
        }
        Ok(())
    }

    fn free(&mut self, op: Op) -> Outcome {
        let Some(seq) = self.pick(op.a) else { return Ok(()) };
        match op.b.is_multiple_of(4) {
            true => self.cache.preempt(seq)?,
            false => self.cache.free(seq)?,
        }
        self.sequences.remove(&seq);
        Ok(())
    }

    fn pin(&mut self, op: Op) -> Outcome {
        if op.b.is_multiple_of(2) {
            let Some(pin) = self.pins.keys().nth(op.a as usize % self.pins.len().max(1)).copied()
            else {
                return Ok(());
            };
            self.cache.unpin(pin)?;
            self.pins.remove(&pin);
            return Ok(());
        }
        let Some(seq) = self.pick_usable(op.a) else { return Ok(()) };
        let sequence = &self.sequences[&seq];
        let length = op.b as usize / 2 % (sequence.num_committed + 1);
        let held: Vec<u32> = (1..self.memory[0].len()).map(|b| self.holders(b)).collect();
        let pin = self.cache.pin(seq, length)?;
        let more = held.iter().zip(1..).filter(|&(&was, block)| self.holders(block) > was);
        self.pins.insert(pin, more.map(|(_, block)| (block as u32).into()).collect());
        Ok(())
    }

    pub(crate) fn holders(&self, block: usize) -> u32 {
        self.cache.ref_count(super::model::id(block))
    }

    fn offload(&mut self, op: Op) -> Outcome {
        let level = op.a as usize % 3;
        let moves = self.cache.offload(level, op.b as usize % 5)?.to_vec();
        self.moves.extend(moves);
        Ok(())
    }

    /// Carries out a move, now and not before, so that it must have been held till now.
    fn end_move(&mut self, op: Op) -> Outcome {
        if self.moves.is_empty() {
            return Ok(());
        }
        let ended = self.moves.swap_remove(op.a as usize % self.moves.len());
        if ended.from.level == 0 {
            self.cold = Some(ended.from.block.index() as usize);
        }
        if !op.b.is_multiple_of(16) {
            self.carry_out(ended);
            return self.cache.finish(ended);
        }
        self.cache.fail(ended)?;
        for (&seq, sequence) in &mut self.sequences {
            let level = u8::from(sequence.swapped);
            let mut tables = (0..self.groups.len())
                .map(|group| self.cache.group_block_table(seq, group).expect("it is there"));
            sequence.broken |=
                ended.to.level == level && tables.any(|table| table.contains(&ended.to.block));
        }
        Ok(())
    }

    fn swap(&mut self, op: Op) -> Outcome {
        let Some(seq) = self.pick(op.a) else { return Ok(()) };
        let sequence = &self.sequences[&seq];
        let swapped = sequence.swapped;
        if sequence.broken || (!swapped && self.is_loading(seq)) {
            return Ok(());
        }
        let moves = if swapped { self.cache.swap_in(seq)? } else { self.cache.swap_out(seq)? };
        self.moves.extend_from_slice(moves);
        self.sequences.get_mut(&seq).expect("picked").swapped = !swapped;
        Ok(())
    }

    fn resize_or_reset(&mut self, op: Op) -> Outcome {
        if op.a.is_multiple_of(4) {
            self.cache.reset_prefix_cache()?;
            assert_eq!(self.cache.stats().indexed_blocks, 0);
            return Ok(());
        }
        let num_blocks = 4 + op.b as usize % 60;
        for copy in self.cache.resize(num_blocks)? {
            self.copy(copy.src, copy.dst);
            for block in self.pins.values_mut().flatten().filter(|block| **block == copy.src) {
                *block = copy.dst;
            }
        }
        let slots = self.memory[0][0].len();
        self.memory[0].resize(num_blocks, vec![0; slots]);
        self.let_go.resize(num_blocks, 0);
        Ok(())
    }

    /// Calls that must be refused.
    fn nonsense(&mut self, op: Op) -> Outcome {
        let unknown = SeqId(u64::MAX - u64::from(op.a));
        assert_eq!(self.cache.append(unknown, 1).unwrap_err(), Error::UnknownSequence(unknown));
        assert_eq!(self.cache.commit(unknown, &[]).unwrap_err(), Error::UnknownSequence(unknown));
        assert_eq!(self.cache.fork(unknown, unknown).unwrap_err(), Error::UnknownSequence(unknown));
        let nowhere = Place { level: 0, block: 0.into() };
        let ghost = paged_cache::Move { from: nowhere, to: nowhere };
        assert_eq!(self.cache.finish(ghost).unwrap_err(), Error::UnknownMove(ghost));
        let Some(seq) = self.pick(op.a) else { return Ok(()) };
        assert_eq!(self.cache.admit(seq, &[]).unwrap_err(), Error::SequenceExists(seq));
        if self.sequences[&seq].swapped {
            assert_eq!(self.cache.append(seq, 1).unwrap_err(), Error::SwappedOut(seq));
            return Err(self.cache.fork(seq, unknown).unwrap_err());
        }
        assert_eq!(self.cache.swap_in(seq).unwrap_err(), Error::NotSwappedOut(seq));
        let long = vec![0; self.sequences[&seq].num_tokens + 1];
        assert!(matches!(self.cache.commit(seq, &long), Err(Error::Length { .. })));
        assert!(matches!(self.cache.truncate(seq, long.len()), Err(Error::Length { .. })));
        Err(self.cache.append(seq, usize::MAX).unwrap_err())
    }
}
