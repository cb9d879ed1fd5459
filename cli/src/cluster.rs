//! members, status, compact, alarm.

use etcd::ErrorKind;
use etcd::classic::Session;
use etcd::model::{Alarm, AlarmKind, Header, Member, Status};
use serde_json::{Value, json};

use crate::args::AlarmCommand;
use crate::failure::{Cause, Failure};
use crate::output::{Format, Rows, print_json, text, word};

/// Prints the members.
pub fn members(session: &Session, format: Format) -> Result<(), Failure> {
    let members = session.client().members().map_err(|error| Failure::of(session, error))?;
    if format == Format::Json {
        let object = |member: &Member| {
            json!({
                "id": hex(member.id),
                "name": member.name,
                "peer_urls": member.peer_urls,
                "client_urls": member.client_urls,
                "is_learner": member.is_learner,
            })
        };
        return print_json(&json!({ "members": members.iter().map(object).collect::<Vec<_>>() }));
    }
    let row = |member: &Member| {
        let urls = [&member.peer_urls, &member.client_urls].map(|urls| urls.join(","));
        let [peer_urls, client_urls] = urls;
        let cells =
            [hex(member.id), member.name.clone(), peer_urls, client_urls, member.is_learner.to_string()];
        cells.iter().map(|cell| word(cell.as_bytes())).collect()
    };
    let columns = &["ID", "NAME", "PEER_URLS", "CLIENT_URLS", "IS_LEARNER"];
    Rows { columns, cells: members.iter().map(row).collect() }.print(format)
}

type Answer = (String, etcd::Result<(Header, Status)>);

/// Prints how each endpoint is, also one that does not answer, which is a failure.
pub fn status(session: &Session, format: Format) -> Result<(), Failure> {
    let answers = session.client().status();
    if format == Format::Json {
        let endpoints: Vec<Value> = answers.iter().map(status_object).collect();
        print_json(&json!({ "endpoints": endpoints }))?;
    } else {
        let columns = &[
            "ENDPOINT",
            "MEMBER_ID",
            "VERSION",
            "DB_SIZE",
            "IS_LEADER",
            "RAFT_TERM",
            "RAFT_INDEX",
            "ERRORS",
        ];
        Rows { columns, cells: answers.iter().map(status_cells).collect() }.print(format)?;
    }
    let silent = answers.iter().filter(|(_, answer)| answer.is_err()).count();
    if silent == 0 {
        return Ok(());
    }
    let message = format!("status: no answer from {silent} of {} endpoints; see their rows", answers.len());
    Err(Failure::new(Cause::Etcd, message))
}

fn status_cells((endpoint, answer): &Answer) -> Vec<Vec<u8>> {
    let (known, errors) = match answer {
        Ok((header, status)) => {
            let known = [
                hex(header.member_id),
                status.version.clone(),
                status.db_size.to_string(),
                is_leader(header, status).to_string(),
                status.raft_term.to_string(),
                status.raft_index.to_string(),
            ];
            (known, status.errors.join("; "))
        }
        Err(error) => (<[String; 6]>::default(), error.to_string()),
    };
    let words = [endpoint].into_iter().chain(&known).map(|cell| word(cell.as_bytes()));
    words.chain([text(errors.as_bytes())]).collect()
}

fn status_object((endpoint, answer): &Answer) -> Value {
    match answer {
        Ok((header, status)) => json!({
            "endpoint": endpoint,
            "cluster_id": hex(header.cluster_id),
            "member_id": hex(header.member_id),
            "revision": header.revision,
            "version": status.version,
            "db_size": status.db_size,
            "db_size_in_use": status.db_size_in_use,
            "leader": hex(status.leader),
            "is_leader": is_leader(header, status),
            "is_learner": status.is_learner,
            "raft_term": status.raft_term,
            "raft_index": status.raft_index,
            "raft_applied_index": status.raft_applied_index,
            "errors": status.errors,
        }),
        Err(error) => json!({ "endpoint": endpoint, "errors": [error.to_string()] }),
    }
}

fn is_leader(header: &Header, status: &Status) -> bool {
    status.leader != 0 && status.leader == header.member_id
}

/// The id of a member or cluster as etcdctl prints it.
fn hex(id: u64) -> String {
    format!("{id:x}")
}

/// Forgets history.
pub fn compact(session: &Session, format: Format, revision: i64) -> Result<(), Failure> {
    // The advice for readers of lost history would be none here.
    let done = session.client().compact(revision).map_err(|error| match error.kind() {
        ErrorKind::Compacted => error.advise("nothing is left to do"),
        _ => error,
    });
    done.map_err(|error| Failure::of(session, error))?;
    if format == Format::Json { print_json(&json!({ "compact_revision": revision })) } else { Ok(()) }
}

/// Prints the alarms that are raised, or were.
pub fn alarm(session: &Session, format: Format, command: AlarmCommand) -> Result<(), Failure> {
    let client = session.client();
    let alarms = match command {
        AlarmCommand::List => client.alarms(),
        AlarmCommand::Disarm => client.disarm(),
    };
    let alarms = alarms.map_err(|error| Failure::of(session, error))?;
    if format == Format::Json {
        let object = |alarm: &Alarm| json!({ "member_id": hex(alarm.member), "alarm": name(alarm.kind) });
        return print_json(&json!({ "alarms": alarms.iter().map(object).collect::<Vec<_>>() }));
    }
    let row = |alarm: &Alarm| vec![hex(alarm.member).into(), name(alarm.kind).into()];
    Rows { columns: &["MEMBER_ID", "ALARM"], cells: alarms.iter().map(row).collect() }.print(format)
}

fn name(kind: AlarmKind) -> &'static str {
    match kind {
        AlarmKind::Any => "NONE",
        AlarmKind::NoSpace => "NOSPACE",
        AlarmKind::Corrupt => "CORRUPT",
    }
}
