//! The protocol of a lock's queue: contenders that are paused anywhere, requests and answers that are late, lost or
//! there twice, leases that end. What [`Model`] is checked for must hold in every state that can be reached; with any
//! one of five things done wrong, it does not.

use stateright::{Checker, HasDiscoveries, Model, Property};

/// How long a lease lasts, in ticks. There is no margin: all clocks of the model run alike.
const TTL: u8 = 2;

/// What is done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// The resource takes whatever comes.
    NoFencing,
    /// Each try to get into the queue makes a place of its own.
    QueuesTwice,
    /// A release deletes whatever place its contender has.
    UnlocksByName,
    /// A lease is counted from when the answer to its renewal came.
    CountsFromReceiving,
    /// Whoever sees the one before it go takes its turn, whether that one held the lock or gave up.
    TakesAnyTurn,
}

/// Contenders, each with a session that it keeps through all its rounds.
#[derive(Clone, Copy)]
struct Locks {
    /// How often each wants the lock.
    rounds: &'static [u8],
    /// How often each sends a request again whose answer may be lost.
    retries: &'static [u8],
    /// How often each renews its lease.
    renewals: &'static [u8],
    broken: Broken,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    contenders: Vec<Contender>,
    server: Server,
    /// On its way, in any order.
    messages: Vec<Message>,
    /// A bit for each token with which the lock was held, as those of one client know.
    held: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Contender {
    stage: Stage,
    /// 0: not known.
    token: u8,
    /// The token of the one before it, and whether that was the first; 0: not known.
    before: (u8, bool),
    /// How long it may be sure of its lease.
    sure: u8,
    rounds: u8,
    retries: u8,
    renewals: u8,
    /// It has written in this round.
    written: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    Idle,
    Queues,
    Waits,
    Holds,
    Leaves,
    Over,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Server {
    revision: u8,
    /// What is left of each contender's lease.
    leases: Vec<Option<u8>>,
    /// Owner and creation revision, in order.
    queue: Vec<(usize, u8)>,
    /// The token of the last write.
    written: u8,
    /// A write of somebody who was followed by another holder was taken.
    stale: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Message {
    Queue(usize),
    /// With its token, and who was before.
    Queued(usize, u8, (u8, bool)),
    /// It comes first.
    First(usize, u8),
    /// With what may be sure if it is answered, counted from its sending.
    Keep(usize, u8),
    Kept(usize, u8),
    Write(usize, u8),
    Release(usize, u8),
    Released(usize),
    /// The place, or the lease, is not there.
    Gone(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Tick,
    /// A server takes its time to end a lease whose time is over.
    Expire(usize),
    Start(usize),
    Retry(usize),
    Look(usize),
    TakeTurn(usize),
    Keep(usize),
    Write(usize),
    Release(usize),
    Cancel(usize),
    NoticeLoss(usize),
    Deliver(usize),
    Lose(usize),
}

impl Server {
    fn place(&self, owner: usize) -> Option<u8> {
        self.queue.iter().find(|place| place.0 == owner).map(|place| place.1)
    }

    fn take(&mut self, message: Message, broken: Broken) -> Option<Message> {
        match message {
            Message::Queue(owner) => Some(self.enqueue(owner, broken)),
            Message::Keep(owner, sure) => Some(match &mut self.leases[owner] {
                Some(left) => {
                    *left = TTL;
                    Message::Kept(owner, sure)
                }
                None => Message::Gone(owner),
            }),
            Message::Write(owner, token) => {
                let guarded = broken != Broken::NoFencing;
                if !guarded || self.queue.contains(&(owner, token)) {
                    self.stale |= token < self.written;
                    self.written = token;
                }
                None
            }
            Message::Release(owner, token) => {
                let any = token == 0 || broken == Broken::UnlocksByName;
                self.queue.retain(|place| place.0 != owner || !(any || place.1 == token));
                Some(Message::Released(owner))
            }
            _ => None,
        }
    }

    fn enqueue(&mut self, owner: usize, broken: Broken) -> Message {
        match self.place(owner) {
            _ if self.leases[owner].is_none() => Message::Gone(owner),
            Some(token) if broken != Broken::QueuesTwice => Message::Queued(owner, token, (0, false)),
            _ => {
                let before = self.queue.last().map_or(0, |place| place.1);
                let first = self.queue.len() == 1;
                self.revision += 1;
                self.queue.push((owner, self.revision));
                Message::Queued(owner, self.revision, (before, first))
            }
        }
    }
}

impl Contender {
    fn hear(&mut self, message: Message, broken: Broken) {
        match (message, self.stage) {
            (Message::Queued(_, token, before), Stage::Queues) => {
                (self.stage, self.token, self.before) = (Stage::Waits, token, before);
            }
            // Only who is sure of its lease enters.
            (Message::First(_, token), Stage::Waits) if token == self.token && self.sure > 0 => {
                (self.stage, self.before) = (Stage::Holds, (0, false));
            }
            // What is lost never comes back to life.
            (Message::Kept(_, sure), stage) if stage != Stage::Over && self.sure > 0 => {
                let sure = if broken == Broken::CountsFromReceiving { TTL } else { sure };
                self.sure = self.sure.max(sure);
            }
            (Message::Released(_), Stage::Leaves) => {
                // Where the place was not known, it may turn up yet: this session is used no more.
                let again = self.token > 0 && self.rounds > 0;
                self.stage = if again { Stage::Idle } else { Stage::Over };
                (self.token, self.before, self.written) = (0, (0, false), false);
            }
            (Message::Gone(_), Stage::Queues | Stage::Waits) => self.stage = Stage::Over,
            _ => {}
        }
    }
}

fn owner(message: &Message) -> usize {
    match *message {
        Message::Queue(owner) | Message::Released(owner) | Message::Gone(owner) => owner,
        Message::Queued(owner, ..) | Message::First(owner, _) => owner,
        Message::Keep(owner, _) | Message::Kept(owner, _) => owner,
        Message::Write(owner, _) | Message::Release(owner, _) => owner,
    }
}

impl State {
    fn send(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// States that differ in nothing that matters become the same one.
    fn tidy(&mut self) {
        let contenders = &self.contenders;
        self.messages.retain(|message| match message {
            Message::Queue(_) | Message::Write(..) | Message::Release(..) | Message::Keep(..) => true,
            // An answer that nobody waits for.
            Message::Kept(who, _) => contenders[*who].stage != Stage::Over && contenders[*who].sure > 0,
            Message::Queued(who, ..) => contenders[*who].stage == Stage::Queues,
            Message::First(who, _) => contenders[*who].stage == Stage::Waits,
            Message::Released(who) => contenders[*who].stage == Stage::Leaves,
            Message::Gone(who) => matches!(contenders[*who].stage, Stage::Queues | Stage::Waits),
        });
        self.messages.sort_unstable();
    }

    fn tick(&mut self) {
        let less = |time: &mut u8| *time = time.saturating_sub(1);
        self.server.leases.iter_mut().flatten().for_each(less);
        self.contenders.iter_mut().for_each(|contender| less(&mut contender.sure));
        for message in &mut self.messages {
            if let Message::Keep(_, sure) | Message::Kept(_, sure) = message {
                less(sure);
            }
        }
    }

    /// Whether the one before it is gone, after it held the lock: then nobody else can be before it.
    fn is_next(&self, contender: &Contender, broken: Broken) -> bool {
        let (before, first) = contender.before;
        let is_gone = before > 0 && self.server.queue.iter().all(|place| place.1 != before);
        is_gone && (first || self.held & (1 << before) != 0 || broken == Broken::TakesAnyTurn)
    }

    fn actions_of(&self, who: usize, broken: Broken, actions: &mut Vec<Action>) {
        let contender = &self.contenders[who];
        let under_way = |is: fn(&Message) -> bool| self.messages.iter().any(|m| owner(m) == who && is(m));
        let sure = contender.sure > 0;
        if self.server.leases[who] == Some(0) {
            actions.push(Action::Expire(who));
        }
        if contender.stage == Stage::Over {
            return;
        }
        match contender.stage {
            Stage::Idle if sure && contender.rounds > 0 => actions.push(Action::Start(who)),
            Stage::Queues | Stage::Leaves if contender.retries > 0 => actions.push(Action::Retry(who)),
            // When it asks does not matter, only when it is answered, and how.
            Stage::Waits if !under_way(|m| matches!(m, Message::First(..) | Message::Gone(_))) => {
                actions.push(Action::Look(who));
                if self.is_next(contender, broken) {
                    actions.push(Action::TakeTurn(who));
                }
            }
            Stage::Holds => {
                actions.push(Action::Release(who));
                if sure && !contender.written {
                    actions.push(Action::Write(who));
                }
            }
            _ => {}
        }
        if matches!(contender.stage, Stage::Queues | Stage::Waits) {
            actions.push(Action::Cancel(who));
        }
        if sure
            && contender.renewals > 0
            && !under_way(|m| matches!(m, Message::Keep(..) | Message::Kept(..)))
        {
            actions.push(Action::Keep(who));
        }
        if !sure {
            actions.push(Action::NoticeLoss(who));
        }
    }

    fn request(&self, who: usize) -> Message {
        match self.contenders[who].stage {
            Stage::Queues => Message::Queue(who),
            _ => Message::Release(who, self.contenders[who].token),
        }
    }

    fn act(&mut self, who: usize, action: Action) {
        let contender = &mut self.contenders[who];
        match action {
            Action::Start(_) => (contender.stage, contender.rounds) = (Stage::Queues, contender.rounds - 1),
            Action::Retry(_) => contender.retries -= 1,
            Action::Keep(_) => contender.renewals -= 1,
            Action::Release(_) | Action::Cancel(_) => contender.stage = Stage::Leaves,
            Action::NoticeLoss(_) => contender.stage = Stage::Over,
            Action::Write(_) => contender.written = true,
            _ => {}
        }
        let token = contender.token;
        match action {
            Action::Start(_) | Action::Retry(_) | Action::Release(_) | Action::Cancel(_) => {
                self.send(self.request(who));
            }
            Action::Look(_) if self.server.queue.first() == Some(&(who, token)) => {
                self.send(Message::First(who, token));
            }
            Action::Look(_) | Action::TakeTurn(_) if !self.server.queue.contains(&(who, token)) => {
                self.send(Message::Gone(who));
            }
            // Its own place is all that it reads.
            Action::TakeTurn(_) => self.send(Message::First(who, token)),
            Action::Keep(_) => self.send(Message::Keep(who, TTL)),
            Action::Write(_) => self.send(Message::Write(who, token)),
            _ => {}
        }
    }
}

impl Model for Locks {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let contender = |who: usize| Contender {
            stage: Stage::Idle,
            token: 0,
            before: (0, false),
            sure: TTL,
            rounds: self.rounds[who],
            retries: self.retries[who],
            renewals: self.renewals[who],
            written: false,
        };
        let contenders: Vec<Contender> = (0..self.rounds.len()).map(contender).collect();
        let leases = vec![Some(TTL); contenders.len()];
        let server = Server { revision: 0, leases, queue: Vec::new(), written: 0, stale: false };
        vec![State { contenders, server, messages: Vec::new(), held: 0 }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.push(Action::Tick);
        (0..self.rounds.len()).for_each(|who| state.actions_of(who, self.broken, actions));
        for at in 0..state.messages.len() {
            actions.push(Action::Deliver(at));
            // Of the others, one that is lost is one that never comes.
            if matches!(state.messages[at], Message::Keep(..) | Message::Kept(..)) {
                actions.push(Action::Lose(at));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick => state.tick(),
            Action::Expire(who) => {
                state.server.leases[who] = None;
                state.server.queue.retain(|place| place.0 != who);
            }
            Action::Lose(at) => drop(state.messages.remove(at)),
            Action::Deliver(at) => {
                let message = state.messages.remove(at);
                let answer = state.server.take(message, self.broken);
                answer.into_iter().for_each(|answer| state.send(answer));
                let contender = &mut state.contenders[owner(&message)];
                contender.hear(message, self.broken);
                if contender.stage == Stage::Holds {
                    state.held |= 1 << contender.token;
                }
            }
            Action::Start(who) | Action::Retry(who) | Action::Keep(who) => state.act(who, action),
            Action::Look(who) | Action::TakeTurn(who) => state.act(who, action),
            Action::Write(who) | Action::Release(who) | Action::Cancel(who) | Action::NoticeLoss(who) => {
                state.act(who, action);
            }
        }
        state.tidy();
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no stale write is taken", |_, state: &State| !state.server.stale),
            Property::always("nobody has two places", |_, state: &State| {
                let owners = state.server.queue.iter().map(|place| place.0);
                owners
                    .clone()
                    .enumerate()
                    .all(|(at, one)| owners.clone().skip(at + 1).all(|other| other != one))
            }),
            Property::always("whoever is sure to hold it does", |_, state: &State| {
                let sure = state.contenders.iter().enumerate();
                sure.filter(|(_, one)| one.stage == Stage::Holds && one.sure > 0)
                    .all(|(who, one)| state.server.queue.first() == Some(&(who, one.token)))
            }),
            // That these happen shows that the model says something.
            Property::sometimes("all hold it one after the other", |model, state: &State| {
                usize::from(state.server.written) == model.rounds.len()
                    && state.contenders.iter().all(|one| one.rounds == 0 && one.stage == Stage::Over)
            }),
            Property::sometimes("a holder is followed before it knows", |_, state: &State| {
                let holds = state.contenders.iter().filter(|one| one.stage == Stage::Holds);
                holds.count() > 1
            }),
        ]
    }
}

/// Small enough to be run through, and each with something that the others lack: renewals, several rounds, a third one.
const SIZES: [Locks; 5] = [
    Locks { rounds: &[1, 1], retries: &[1, 0], renewals: &[1, 1], broken: Broken::Nothing },
    Locks { rounds: &[1, 1], retries: &[1, 1], renewals: &[1, 0], broken: Broken::Nothing },
    Locks { rounds: &[2, 1], retries: &[1, 0], renewals: &[1, 0], broken: Broken::Nothing },
    Locks { rounds: &[2, 2], retries: &[1, 0], renewals: &[0, 0], broken: Broken::Nothing },
    Locks { rounds: &[1, 1, 1], retries: &[0, 0, 0], renewals: &[0, 0, 0], broken: Broken::Nothing },
];

const HAPPENS: [&str; 2] = ["all hold it one after the other", "a holder is followed before it knows"];

#[test]
fn the_protocol_of_the_locks_holds_in_every_state_of_its_model() {
    for model in SIZES {
        let checker = model.checker().threads(2).spawn_bfs().join();
        let Locks { rounds, retries, renewals, .. } = model;
        let states = checker.unique_state_count();
        println!("rounds {rounds:?}, retries {retries:?}, renewals {renewals:?}: {states} states");
        let found = checker.discoveries();
        // A lease that is not renewed lasts no longer than that of whoever is before.
        let happens = &HAPPENS[..if renewals.contains(&1) { 2 } else { 1 }];
        assert!(
            found.len() == happens.len() && happens.iter().all(|one| found.contains_key(one)),
            "{found:?}"
        );
    }
}

#[test]
fn the_model_of_the_locks_finds_each_of_five_broken_ones() {
    let two = Locks { rounds: &[2, 1], retries: &[1, 1], renewals: &[1, 1], broken: Broken::Nothing };
    let three = SIZES[4];
    for (model, broken, property) in [
        (two, Broken::NoFencing, "no stale write is taken"),
        (two, Broken::QueuesTwice, "nobody has two places"),
        (two, Broken::UnlocksByName, "whoever is sure to hold it does"),
        (two, Broken::CountsFromReceiving, "whoever is sure to hold it does"),
        (three, Broken::TakesAnyTurn, "whoever is sure to hold it does"),
    ] {
        let model = Locks { broken, ..model };
        let enough = HasDiscoveries::AnyOf([property].into());
        let checker = model.checker().threads(2).finish_when(enough).spawn_bfs().join();
        let path = checker.discovery(property).unwrap_or_else(|| panic!("{broken:?} keeps {property:?}"));
        println!("{broken:?} is found after {} steps", path.into_actions().len());
    }
}
