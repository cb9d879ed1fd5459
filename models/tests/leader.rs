//! The old project's protocol for a leader, small: whoever finds no leader nominates itself, and confirms that by
//! comparing and swapping; a leader confirms again and again, by the same, until its key is over. Its model demanded that
//! nominations compare, too; its program put them blindly, which is found to be wrong here.

use stateright::{Checker, HasDiscoveries, Model, Property};

/// How long the key lasts, in ticks.
const TTL: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    /// As modelled then: every write compares.
    Compares,
    /// As programmed then: a nomination is put over whatever is there by now.
    NominatesBlindly,
    ConfirmsBlindly,
}

struct Election {
    nodes: usize,
    variant: Variant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Vote {
    node: usize,
    confirmed: bool,
    left: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Node {
    Looks,
    /// It saw no vote.
    SawNone,
    /// It nominated itself.
    Nominated,
    /// It was confirmed; it may be sure of that for so long.
    Leads(u8),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    vote: Option<Vote>,
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Tick,
    /// A node takes its next step, at any time, as one that is paused does.
    Step(usize),
    /// It dies and starts anew.
    Fail(usize),
}

impl State {
    fn step(&mut self, who: usize, variant: Variant) {
        let is_mine = |confirmed: bool| move |vote: &Vote| vote.node == who && vote.confirmed == confirmed;
        let vote = |confirmed| Some(Vote { node: who, confirmed, left: TTL });
        let (mut next, blind) = (Node::Looks, variant == Variant::ConfirmsBlindly);
        match self.nodes[who] {
            Node::Looks => {
                next = match &self.vote {
                    None => Node::SawNone,
                    Some(found) if found.node == who && !found.confirmed => Node::Nominated,
                    Some(_) => Node::Looks,
                };
            }
            Node::SawNone if self.vote.is_none() || variant == Variant::NominatesBlindly => {
                self.vote = vote(false);
            }
            Node::Nominated if blind || self.vote.as_ref().is_some_and(is_mine(false)) => {
                self.vote = vote(true);
                next = Node::Leads(TTL);
            }
            Node::Leads(_) if self.vote.as_ref().is_some_and(is_mine(true)) => {
                self.vote = vote(true);
                next = Node::Leads(TTL);
            }
            Node::SawNone | Node::Nominated | Node::Leads(_) => {}
        }
        self.nodes[who] = next;
    }

    fn tick(&mut self) {
        if let Some(vote) = &mut self.vote {
            vote.left -= 1;
        }
        self.vote = self.vote.filter(|vote| vote.left > 0);
        for node in &mut self.nodes {
            if let Node::Leads(sure) = node {
                *sure = sure.saturating_sub(1);
            }
        }
    }
}

impl Model for Election {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State { vote: None, nodes: vec![Node::Looks; self.nodes] }]
    }

    fn actions(&self, _: &State, actions: &mut Vec<Action>) {
        actions.push(Action::Tick);
        (0..self.nodes).for_each(|who| actions.extend([Action::Step(who), Action::Fail(who)]));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick => state.tick(),
            Action::Step(who) => state.step(who, self.variant),
            Action::Fail(who) => state.nodes[who] = Node::Looks,
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one leader at most", |_, state: &State| {
                let sure = |node: &&Node| matches!(node, Node::Leads(1..));
                state.nodes.iter().filter(sure).count() <= 1
            }),
            Property::sometimes("the last one leads", |model, state: &State| {
                state.nodes[model.nodes - 1] == Node::Leads(TTL)
            }),
        ]
    }
}

#[test]
fn the_old_protocol_for_a_leader_elects_one_if_every_write_compares() {
    let checker = Election { nodes: 3, variant: Variant::Compares }.checker().threads(2).spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    assert!(checker.discovery("one leader at most").is_none());
    assert!(checker.discovery("the last one leads").is_some());
}

#[test]
fn the_model_of_the_leader_finds_blind_writes() {
    for variant in [Variant::NominatesBlindly, Variant::ConfirmsBlindly] {
        let enough = HasDiscoveries::AnyOf(["one leader at most"].into());
        let model = Election { nodes: 3, variant };
        let checker = model.checker().threads(2).finish_when(enough).spawn_bfs().join();
        assert!(checker.discovery("one leader at most").is_some(), "{variant:?}");
    }
}
