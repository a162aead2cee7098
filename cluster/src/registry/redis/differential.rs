//! One specification, two implementations: the same random histories drive the scripts on a real Redis and the state machine of
//! `local`, side by side under injected time, and every answer, event and ring of the two is compared.
//!
//! Method: a [`Twin`] is both machines at once, and the world of `local`'s own properties drives it, so that the model's
//! expectations are checked as well. That a difference would be seen is shown by scripts with one rule broken in their text.

mod twin;
pub(super) mod wire;

use super::scripts::Script;
use crate::registry::local::properties::world::World;
use crate::registry::local::properties::{
    Counts, OUTCOMES, SHARED_OUTCOMES, check_counts, fixed_sequences, run,
};
use twin::Twin;
use wire::Wire;

/// How often every outcome must come.
const AT_LEAST: u64 = 100;

#[test]
fn the_scripts_do_what_the_specification_does() {
    let mut wire = Wire::start();
    let mut counts = Counts::new();
    for (nth, ops) in fixed_sequences().iter().enumerate() {
        run(&mut counts, nth, World::shared(Twin::shared(&mut wire)), ops);
    }
    check_counts(&counts, &[OUTCOMES, SHARED_OUTCOMES].concat(), AT_LEAST);
}

#[test]
fn the_scripts_do_the_same_without_the_rules_about_being_away() {
    let mut wire = Wire::start();
    let mut counts = Counts::new();
    for (nth, ops) in fixed_sequences().iter().enumerate().take(40) {
        run(&mut counts, nth, World::new(Twin::local(&mut wire)), ops);
    }
    check_counts(&counts, OUTCOMES, 0);
}

/// A rule, broken in the text of a script: what it breaks, and which text stands for which.
type Patch = (&'static str, &'static str, &'static str);

const PATCHES: &[Patch] = &[
    (
        "a dead lease is free without grace",
        "tonumber(lease['until']) + times.grace <= now",
        "tonumber(lease['until']) <= now",
    ),
    (
        "nobody is dead, for ever",
        "is_past_floor() and tonumber(lease['until'])",
        "false and tonumber(lease['until'])",
    ),
    ("leases die while nobody can renew", "return now >= shard.floor", "return true"),
    ("rooms are open after a loss", "return shard.blank == '1'", "return false"),
    ("a gap is not noticed", "now - seen > GAP", "false"),
    ("old contact counts for ever", "seen = math.max(seen, contact.to)", "seen = now"),
    ("contact counts that began too late", "contact.from - seen <= GAP", "true"),
    ("a restart is not noticed", "shard.run ~= '' and shard.run ~= RUN\n    if", "false\n    if"),
    ("a loss is not noticed", "is_new or (GAP and is_rewound)", "is_new"),
    ("the same loss is found again and again", "math.max(now_us, known.life + 1)", "shard.life"),
    ("epochs are the clock and nothing else", "math.max(shard.epoch + 1, now_us)", "now_us"),
    ("an adopted epoch is forgotten", "raise_epochs(tonumber(session.epoch))\n  insert", "insert"),
    ("epochs are rounded", "string.format('%.0f', number)", "tostring(number)"),
    (
        "a session rises from its grave",
        "if covers(tomb, session) then\n      return { 'lost'",
        "if false then\n      return { 'lost'",
    ),
    ("a session claims after its end", "if knows(tomb, sid) then", "if false then"),
    ("a session ends twice", "if covers(tomb_of(session.room), session) then", "if false then"),
    ("only the newest end is remembered", "local EARLIER_MAX = 16", "local EARLIER_MAX = 0"),
    (
        "a renewal takes over any lease",
        "tonumber(lease.epoch) >= tonumber(session.epoch) then\n      return { 'lost'",
        "false then\n      return { 'lost'",
    ),
    (
        "an older lease stays",
        "if tonumber(lease.epoch) >= tonumber(session.epoch) then\n      return { 'lost'",
        "if true then\n      return { 'lost'",
    ),
    (
        "live is told with every renewal",
        "if not was_live and session.live ~= '' then",
        "if session.live ~= '' then",
    ),
    (
        "the moment of going live is overwritten",
        "session.live = was_live and lease.live or session.live",
        "session.live = session.live ~= '' and dec(now) or ''",
    ),
    (
        "a start is not told when the end comes at once",
        "if not was_live and lease.live ~= '' then",
        "if false then",
    ),
    (
        "a lost session ended when it was found",
        "if reason == 'lost' or reason == 'timeout' then",
        "if false then",
    ),
    ("the last order counts", "if lease.order == '' then", "if true then"),
    ("writing a record un-revokes it", "before and before.revoked == '1'", "false"),
    (
        "an adopted session is not told of the revocation",
        "(key and key.revoked == '1') and REVOKED or ''",
        "''",
    ),
    (
        "holds are not looked at",
        "if hold then\n  return answer({ 'held', hold[1] })\nend\nif not key then",
        "if not key then",
    ),
    ("the backlog is not looked at", "redis.call('XLEN', EV) >= UNREAD_MAX", "false"),
    (
        "a wish never ends",
        "'want_until', dec(now + times.want_for)",
        "'want_until', dec(now + 100 * times.want_for)",
    ),
    ("takeovers as often as asked for", "tomb and tomb.superseded ~= ''", "false"),
    ("never is asked for like idle", "key.rule ~= 'never' and not", "not"),
    ("whoever waits for a room is not rung", "ring(lease.want_node, lease.room)", "return"),
    ("the bell of the room is not rung", ":room:' .. session.room", ":room:'"),
    ("reaping knows no limit", "'LIMIT', 0, limit)", "'LIMIT', 0, limit + 1)"),
    ("a lease is not listed", "redis.call('ZADD', ROOMS, 0, session.room)", ""),
    ("who reads what was stored is not rung", ":stored', SHARD)", ":other', SHARD)"),
    (
        "a snapshot leaves out the dead",
        "if lease then\n    leases",
        "if lease and not is_dead(lease) then\n    leases",
    ),
    ("a snapshot ends a page early", "#rooms == limit and", "#rooms > limit and"),
    ("one event too many is forgotten", "dec(n + 1) .. '-0')", "dec(n + 2) .. '-0')"),
    ("a key that is not back is denied", "if not key and shard.loaded ~= '1' then", "if false then"),
    ("what was put back before the last loss counts", "if life ~= shard.life then", "if false then"),
];

#[test]
fn every_rule_broken_in_the_scripts_is_seen() {
    let mut wire = Wire::start();
    let sequences = fixed_sequences();
    let mut missed = Vec::new();
    for (rule, from, to) in PATCHES {
        wire.load(|source| source.replace(from, to));
        let is_applied = Script::ALL.iter().any(|script| script.source().contains(from));
        assert!(is_applied, "{rule}: no script has this text");
        let seen = sequences.iter().find_map(|ops| {
            let mut world = World::shared(Twin::shared(&mut wire));
            world.run(ops).err()
        });
        match seen {
            Some(difference) => println!("{rule}: {}", difference.lines().next().unwrap_or_default()),
            None => missed.push(rule),
        }
    }
    assert!(missed.is_empty(), "not seen: {missed:?}");
}
