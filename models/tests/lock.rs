//! The protocol of a lock's queue: contenders that are paused anywhere, requests and answers that are late, lost or
//! there twice, leases that end, places that are shared. What [`Model`] is checked for must hold in every state that can
//! be reached; with any one of ten things done wrong, it does not.

use stateright::{Checker, HasDiscoveries, Model, Property};

/// How long a lease lasts, in ticks. There is no margin: all clocks of the model run alike.
const TTL: u8 = 2;

/// After so many all have come to an end.
const STEPS: usize = 100;

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
    /// Whoever shares a place counts on the lease that it would have queued with.
    TrustsItsOwnLease,
    /// Whoever shares a place looks who is before it, not whether the place is there.
    LooksOnlyAtOthers,
    /// Whoever shares a place knows it by its key, whenever that was created.
    KnowsByKey,
    /// Whoever shares a place takes it out when it gives up.
    GivesUpForAll,
    /// Whoever was to share a place goes on asking for its lease when that has ended.
    AsksForEver,
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
    /// Those that have one value, and join a place that has it.
    joins: &'static [usize],
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
    /// Who made its place, if not itself then it shares that one's: its key and lease are named so.
    place: usize,
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
    /// Another one who shares its place has released it, after it was said to come first.
    released: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    Idle,
    /// It has found a place to share, whose lease it has not kept alive yet.
    Attends,
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
    /// With whose lease, and what may be sure if it is answered, counted from its sending.
    Keep(usize, usize, u8),
    Kept(usize, usize, u8),
    Write(usize, u8),
    Release(usize, u8),
    Released(usize),
    /// The place, or the lease, of this one is not there.
    Gone(usize, usize),
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
    Attend(usize),
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

    fn is_there(&self, token: u8) -> bool {
        self.queue.iter().any(|place| place.1 == token)
    }

    fn take(&mut self, message: Message, broken: Broken) -> Option<Message> {
        match message {
            Message::Queue(owner) => Some(self.enqueue(owner, broken)),
            Message::Keep(owner, lease, sure) => Some(match &mut self.leases[lease] {
                Some(left) => {
                    *left = TTL;
                    Message::Kept(owner, lease, sure)
                }
                None => Message::Gone(owner, lease),
            }),
            Message::Write(_, token) => {
                let guarded = broken != Broken::NoFencing;
                if !guarded || self.is_there(token) {
                    self.stale |= token < self.written;
                    self.written = token;
                }
                None
            }
            Message::Release(owner, token) => {
                let by_name = token == 0 || broken == Broken::UnlocksByName;
                self.queue.retain(|place| if by_name { place.0 != owner } else { place.1 != token });
                Some(Message::Released(owner))
            }
            _ => None,
        }
    }

    fn enqueue(&mut self, owner: usize, broken: Broken) -> Message {
        match self.place(owner) {
            _ if self.leases[owner].is_none() => Message::Gone(owner, owner),
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
    fn new(who: usize) -> Self {
        Contender {
            stage: Stage::Idle,
            place: who,
            token: 0,
            before: (0, false),
            sure: 0,
            rounds: 0,
            retries: 0,
            renewals: 0,
            written: false,
            released: false,
        }
    }

    fn shares(&self, who: usize) -> bool {
        self.place != who
    }

    /// Whether it waits in a place that may outlive what it can be sure of.
    fn is_patient(&self, who: usize) -> bool {
        self.stage == Stage::Attends || (self.stage == Stage::Waits && self.shares(who))
    }

    /// Whether it listens to what is said of this lease.
    fn keeps(&self, who: usize, lease: usize) -> bool {
        self.place == lease && self.stage != Stage::Over && (self.sure > 0 || self.is_patient(who))
    }

    fn hear(&mut self, message: Message, broken: Broken) {
        match (message, self.stage) {
            (Message::Queued(_, token, before), Stage::Queues) => {
                (self.stage, self.token, self.before) = (Stage::Waits, token, before);
            }
            // Only who is sure of its lease enters.
            (Message::First(_, token), Stage::Waits) if token == self.token && self.sure > 0 => {
                (self.stage, self.before) = (Stage::Holds, (0, false));
            }
            // Now that lease counts, and whether the place is there is yet to be seen.
            (Message::Kept(_, lease, sure), Stage::Attends) if lease == self.place => {
                (self.stage, self.sure) = (Stage::Waits, sure);
            }
            // What is lost never comes back to life.
            (Message::Kept(who, lease, sure), _) if self.keeps(who, lease) => {
                let sure = if broken == Broken::CountsFromReceiving { TTL } else { sure };
                self.sure = self.sure.max(sure);
            }
            (Message::Released(who), Stage::Leaves) => {
                // Where the place was not known, it may turn up yet: this session is used no more.
                let again = self.token > 0 && self.rounds > 0 && !self.shares(who);
                self.stage = if again { Stage::Idle } else { Stage::Over };
                (self.token, self.before, self.written) = (0, (0, false), false);
            }
            // There is nothing to share: it begins anew.
            (Message::Gone(who, lease), Stage::Attends)
                if lease == self.place && broken != Broken::AsksForEver =>
            {
                (self.stage, self.place, self.token) = (Stage::Idle, who, 0);
                self.rounds += 1;
            }
            (Message::Gone(_, place), Stage::Queues | Stage::Waits) if place == self.place => {
                self.stage = Stage::Over;
            }
            _ => {}
        }
    }
}

fn owner(message: &Message) -> usize {
    match *message {
        Message::Queue(owner) | Message::Released(owner) | Message::Gone(owner, _) => owner,
        Message::Queued(owner, ..) | Message::First(owner, _) => owner,
        Message::Keep(owner, ..) | Message::Kept(owner, ..) => owner,
        Message::Write(owner, _) | Message::Release(owner, _) => owner,
    }
}

impl State {
    fn holders(&self) -> impl Iterator<Item = &Contender> {
        self.contenders.iter().filter(|one| one.stage == Stage::Holds)
    }

    fn send(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// States that differ in nothing that matters become the same one.
    fn tidy(&mut self) {
        for (who, contender) in self.contenders.iter_mut().enumerate() {
            if contender.stage == Stage::Over {
                *contender =
                    Contender { stage: Stage::Over, rounds: contender.rounds, ..Contender::new(who) };
            }
        }
        let contenders = &self.contenders;
        self.messages.retain(|message| match message {
            Message::Queue(_) | Message::Write(..) | Message::Release(..) | Message::Keep(..) => true,
            // An answer that nobody waits for.
            Message::Kept(who, lease, _) => contenders[*who].keeps(*who, *lease),
            Message::Queued(who, ..) => contenders[*who].stage == Stage::Queues,
            Message::First(who, _) => contenders[*who].stage == Stage::Waits,
            Message::Released(who) => contenders[*who].stage == Stage::Leaves,
            Message::Gone(who, place) => {
                let waits = matches!(contenders[*who].stage, Stage::Attends | Stage::Queues | Stage::Waits);
                waits && contenders[*who].place == *place
            }
        });
        self.messages.sort_unstable();
    }

    fn tick(&mut self) {
        let less = |time: &mut u8| *time = time.saturating_sub(1);
        self.server.leases.iter_mut().flatten().for_each(less);
        self.contenders.iter_mut().for_each(|contender| less(&mut contender.sure));
        for message in &mut self.messages {
            if let Message::Keep(.., sure) | Message::Kept(.., sure) = message {
                less(sure);
            }
        }
    }

    /// Whether the one before it is gone, after it held the lock: then nobody else can be before it.
    fn is_next(&self, contender: &Contender, broken: Broken) -> bool {
        let (before, first) = contender.before;
        let is_gone = before > 0 && !self.server.is_there(before);
        is_gone && (first || self.held & (1 << before) != 0 || broken == Broken::TakesAnyTurn)
    }

    fn actions_of(&self, who: usize, broken: Broken, actions: &mut Vec<Action>) {
        let contender = &self.contenders[who];
        let under_way = |is: fn(&Message) -> bool| self.messages.iter().any(|m| owner(m) == who && is(m));
        let keeps = self.messages.iter().any(|message| match *message {
            Message::Keep(of, lease, _) | Message::Kept(of, lease, _) | Message::Gone(of, lease) => {
                (of, lease) == (who, contender.place)
            }
            _ => false,
        });
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
            Stage::Waits if !under_way(|m| matches!(m, Message::First(..) | Message::Gone(..))) => {
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
        if matches!(contender.stage, Stage::Attends | Stage::Queues | Stage::Waits) {
            actions.push(Action::Cancel(who));
        }
        if !keeps && contender.is_patient(who) && (contender.stage == Stage::Attends || !sure) {
            actions.push(Action::Attend(who));
        }
        if !keeps && contender.stage != Stage::Attends && sure && contender.renewals > 0 {
            actions.push(Action::Keep(who));
        }
        if contender.released || (!sure && !contender.is_patient(who)) {
            actions.push(Action::NoticeLoss(who));
        }
    }

    fn request(&self, who: usize) -> Message {
        match self.contenders[who].stage {
            Stage::Queues => Message::Queue(who),
            _ => Message::Release(who, self.contenders[who].token),
        }
    }

    /// Whoever joins looks for a place to share, and queues if there is none.
    fn start(&mut self, who: usize, model: &Locks) {
        let joins = |who: &usize| model.joins.contains(who);
        let found = self.server.queue.iter().find(|place| joins(&who) && joins(&place.0));
        let contender = &mut self.contenders[who];
        contender.rounds -= 1;
        contender.stage = match found {
            Some(_) if model.broken == Broken::TrustsItsOwnLease => Stage::Waits,
            Some(_) => Stage::Attends,
            None => Stage::Queues,
        };
        match found {
            Some(place) => (contender.place, contender.token) = *place,
            None => self.send(self.request(who)),
        }
    }

    /// What a look says: whether the place is there, and comes first.
    fn seen(&self, who: usize, broken: Broken) -> Option<Message> {
        let Contender { place, token, .. } = self.contenders[who];
        let queue = &self.server.queue;
        let by_key = broken == Broken::KnowsByKey && queue.iter().any(|other| other.0 == place);
        let unseen = broken == Broken::LooksOnlyAtOthers && place != who;
        if !(self.server.is_there(token) || by_key || unseen) {
            return Some(Message::Gone(who, place));
        }
        let comes_first = queue.iter().all(|other| other.1 >= token);
        comes_first.then_some(Message::First(who, token))
    }

    /// A release ends what others share, who may have been told that they come first.
    fn ends_for_others(&mut self, who: usize, released: u8) {
        let token = if released == 0 { self.server.place(who) } else { Some(released) };
        let Some(token) = token.filter(|token| self.server.is_there(*token)) else { return };
        for (other, contender) in self.contenders.iter_mut().enumerate() {
            let told =
                contender.stage == Stage::Holds || self.messages.contains(&Message::First(other, token));
            contender.released |= other != who && contender.token == token && told;
        }
    }

    fn act(&mut self, who: usize, action: Action, broken: Broken) {
        let contender = &mut self.contenders[who];
        match action {
            Action::Retry(_) => contender.retries -= 1,
            Action::Keep(_) => contender.renewals -= 1,
            // The place is left to others.
            Action::Cancel(_) if contender.shares(who) => contender.stage = Stage::Over,
            Action::Release(_) | Action::Cancel(_) => contender.stage = Stage::Leaves,
            Action::NoticeLoss(_) => contender.stage = Stage::Over,
            Action::Write(_) => contender.written = true,
            _ => {}
        }
        let Contender { stage, place, token, .. } = *contender;
        match action {
            Action::Cancel(_) if stage == Stage::Over => {
                self.server.queue.retain(|one| one.1 != token || broken != Broken::GivesUpForAll);
            }
            Action::Retry(_) | Action::Release(_) | Action::Cancel(_) => self.send(self.request(who)),
            Action::Look(_) => self.messages.extend(self.seen(who, broken)),
            // Its own place is all that it reads.
            Action::TakeTurn(_) if self.server.is_there(token) => self.send(Message::First(who, token)),
            Action::TakeTurn(_) => self.send(Message::Gone(who, place)),
            Action::Keep(_) | Action::Attend(_) => self.send(Message::Keep(who, place, TTL)),
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
            sure: TTL,
            rounds: self.rounds[who],
            retries: self.retries[who],
            renewals: self.renewals[who],
            ..Contender::new(who)
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
                if let Message::Release(who, token) = message {
                    state.ends_for_others(who, token);
                }
                let answer = state.server.take(message, self.broken);
                answer.into_iter().for_each(|answer| state.send(answer));
                let contender = &mut state.contenders[owner(&message)];
                contender.hear(message, self.broken);
                if contender.stage == Stage::Holds {
                    state.held |= 1 << contender.token;
                }
            }
            Action::Start(who) => state.start(who, self),
            Action::Retry(who) | Action::Attend(who) | Action::Keep(who) => {
                state.act(who, action, self.broken)
            }
            Action::Look(who) | Action::TakeTurn(who) => state.act(who, action, self.broken),
            Action::Write(who) | Action::Release(who) | Action::Cancel(who) | Action::NoticeLoss(who) => {
                state.act(who, action, self.broken);
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
            // Unless somebody who shares it has released it, which it is about to be told.
            Property::always("whoever is sure to hold it does", |_, state: &State| {
                let sure = state.contenders.iter().filter(|one| one.stage == Stage::Holds && one.sure > 0);
                let first = state.server.queue.first();
                sure.filter(|one| !one.released).all(|one| first == Some(&(one.place, one.token)))
            }),
            Property::always("nobody is stuck", |model: &Locks, state: &State| model.comes_to_an_end(state)),
            // That these happen shows that the model says something.
            Property::sometimes("all hold it one after the other", |model, state: &State| {
                usize::from(state.server.written) == model.rounds.len()
                    && state.contenders.iter().all(|one| one.rounds == 0 && one.stage == Stage::Over)
            }),
            Property::sometimes("a holder is followed before it knows", |_, state: &State| {
                let mut tokens = state.holders().map(|one| one.token);
                tokens.next().is_some_and(|first| tokens.any(|token| token != first))
            }),
            Property::sometimes("two hold one place", |_, state: &State| {
                let mut sure = state.holders().filter(|one| one.sure > 0).map(|one| one.token);
                sure.next().is_some_and(|first| sure.any(|token| token == first))
            }),
            Property::sometimes("a place outlives who made it", |_, state: &State| {
                let over = |who: usize| state.contenders[who].stage == Stage::Over;
                state.holders().any(|one| one.sure > 0 && over(one.place))
            }),
        ]
    }
}

impl Contender {
    fn is_done(&self) -> bool {
        self.stage == Stage::Over || (self.stage == Stage::Idle && self.rounds == 0)
    }
}

impl Locks {
    /// Whether all have held it or lost it soon, if nothing is lost any more, nobody is slow and nobody gives up.
    fn comes_to_an_end(&self, state: &State) -> bool {
        let mut state = state.clone();
        let harmless =
            |action: &Action| !matches!(action, Action::Lose(_) | Action::Cancel(_) | Action::Retry(_));
        for _ in 0..STEPS {
            if state.contenders.iter().all(Contender::is_done) {
                return true;
            }
            let mut actions = Vec::new();
            self.actions(&state, &mut actions);
            // Time is the first of them: it goes on when nothing else does.
            let next =
                actions.into_iter().rev().filter(harmless).find_map(|action| self.next_state(&state, action));
            match next {
                Some(next) => state = next,
                None => return false,
            }
        }
        false
    }
}

/// Small enough to be run through, and each with something that the others lack: renewals, several rounds, a third one.
const SIZES: [Locks; 5] = [
    Locks { renewals: &[1, 1], ..TWO },
    Locks { retries: &[1, 1], ..TWO },
    Locks { rounds: &[2, 1], ..TWO },
    Locks { rounds: &[2, 2], renewals: &[0, 0], ..TWO },
    THREE,
];

const TWO: Locks =
    Locks { rounds: &[1, 1], retries: &[1, 0], renewals: &[1, 0], joins: &[], broken: Broken::Nothing };
const THREE: Locks = Locks { rounds: &[1, 1, 1], retries: &[0, 0, 0], renewals: &[0, 0, 0], ..TWO };

/// The same for places that are shared: with several rounds, with answers that are lost, and with a stranger behind.
const SHARED: [Locks; 3] = [
    SHARED_BY_TWO,
    Locks { rounds: &[1, 1], retries: &[1, 0], ..SHARED_BY_TWO },
    Locks { joins: &[0, 1], ..THREE },
];

const SHARED_BY_TWO: Locks =
    Locks { rounds: &[2, 1], retries: &[0, 0], renewals: &[0, 1], joins: &[0, 1], ..TWO };

const ONE_BY_ONE: &str = "all hold it one after the other";
const UNAWARE: &str = "a holder is followed before it knows";
const TOGETHER: &str = "two hold one place";
const OUTLIVES: &str = "a place outlives who made it";

/// Looks at each state of the model: what happens is this, and no more.
fn run_through(model: Locks, happens: &[&str]) {
    let checker = model.checker().threads(2).spawn_bfs().join();
    let Locks { rounds, retries, renewals, joins, .. } = model;
    let states = checker.unique_state_count();
    println!(
        "rounds {rounds:?}, retries {retries:?}, renewals {renewals:?}, joins {joins:?}: {states} states"
    );
    let found = checker.discoveries();
    let as_expected = found.len() == happens.len() && happens.iter().all(|one| found.contains_key(one));
    assert!(as_expected, "{found:?}");
}

#[test]
fn the_protocol_of_the_locks_holds_in_every_state_of_its_model() {
    for model in SIZES {
        // A lease that is not renewed lasts no longer than that of whoever is before.
        let renewed = model.renewals.contains(&1);
        run_through(model, if renewed { &[ONE_BY_ONE, UNAWARE] } else { &[ONE_BY_ONE] });
    }
}

#[test]
fn it_holds_in_every_state_where_places_are_shared() {
    for model in SHARED {
        run_through(model, &[ONE_BY_ONE, UNAWARE, TOGETHER, OUTLIVES]);
    }
}

#[test]
fn the_model_of_the_locks_finds_each_of_ten_broken_ones() {
    let two = Locks { rounds: &[2, 1], retries: &[1, 1], renewals: &[1, 1], ..TWO };
    let sure = "whoever is sure to hold it does";
    for (model, broken, property) in [
        (two, Broken::NoFencing, "no stale write is taken"),
        (two, Broken::QueuesTwice, "nobody has two places"),
        (two, Broken::UnlocksByName, sure),
        (two, Broken::CountsFromReceiving, sure),
        (THREE, Broken::TakesAnyTurn, sure),
        (SHARED_BY_TWO, Broken::TrustsItsOwnLease, sure),
        (SHARED_BY_TWO, Broken::LooksOnlyAtOthers, sure),
        (SHARED_BY_TWO, Broken::KnowsByKey, sure),
        (SHARED_BY_TWO, Broken::GivesUpForAll, sure),
        (SHARED_BY_TWO, Broken::AsksForEver, "nobody is stuck"),
    ] {
        let model = Locks { broken, ..model };
        let enough = HasDiscoveries::AnyOf([property].into());
        let checker = model.checker().threads(2).finish_when(enough).spawn_bfs().join();
        let path = checker.discovery(property).unwrap_or_else(|| panic!("{broken:?} keeps {property:?}"));
        println!("{broken:?} is found after {} steps", path.into_actions().len());
    }
}
