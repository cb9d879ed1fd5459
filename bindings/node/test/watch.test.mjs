import assert from 'node:assert/strict';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { CanceledError, CompactedError, FutureRevisionError, op } from 'etcd-api';
import { client, onMem, take } from './helpers.mjs';

const said = change => `${change.type} ${change.key}${change.value === null ? '' : `=${change.value}`}`;

test('changes come once and in order, with what they replaced', async t => {
  const etcd = client(t);
  const watch = etcd.watch({ prefix: 'a/' }, { previous: true, ref: true });
  assert.equal(watch.state, 'opening');
  const from = await watch.ready();
  assert.equal(watch.state, 'live');
  assert(Number.isSafeInteger(from));
  const first = await etcd.put('a/1', 'x');
  await etcd.put('b', 'x');
  const second = await etcd.put('a/1', 'y');
  const third = await etcd.delete({ prefix: '' });
  const [put, again, gone] = await take(watch, 3);
  assert.deepEqual(put, { type: 'put', key: Buffer.from('a/1'), value: Buffer.from('x'), revision: first.revision,
    createRevision: first.revision, version: 1, lease: 0n, previous: null, resynced: false });
  assert.deepEqual([said(again), again.revision, again.previous.value.toString()], ['put a/1=y', second.revision, 'x']);
  assert.deepEqual([said(gone), gone.value, gone.revision, gone.previous.value.toString()],
    ['delete a/1', null, third.revision, 'y']);
  watch.close();
  assert.equal(watch.state, 'closed');
  assert.deepEqual(await watch.next(), { value: undefined, done: true });
});

test('a loop that is left ends its watch', async t => {
  const etcd = client(t);
  const { revision } = await etcd.put('a', '1');
  await etcd.put('a', '2');
  const watch = etcd.watch('a', { startRevision: revision, ref: true });
  for await (const change of watch) {
    assert.equal(said(change), 'put a=1');
    break;
  }
  assert.equal(watch.state, 'closed');
  for await (const change of watch) assert.fail(said(change));
  assert.equal(etcd.counters().open, 0);
});

test('from a state to its changes nothing is lost', async t => {
  const etcd = client(t);
  await etcd.put('a', '1');
  const { revision } = await etcd.getRange({ prefix: '' });
  await etcd.put('a', '2');
  const watch = etcd.watch({ prefix: '' }, { startRevision: revision + 1, ref: true });
  assert.deepEqual((await take(watch, 1)).map(said), ['put a=2']);
});

test('batches are revisions', async t => {
  const etcd = client(t);
  const watch = etcd.watch({ prefix: '' }, { batches: true, ref: true });
  await watch.ready();
  await etcd.put('a', '1');
  await etcd.put('b', '1');
  const { revision } = await etcd.delete({ prefix: '' });
  const all = await take(watch, 3);
  assert.deepEqual(all.map(({ type, changes }) => [type, changes.length]), [['changes', 1], ['changes', 1], ['changes', 2]]);
  assert.deepEqual([all[2].revision, all[2].resynced, all[2].changes.map(said)], [revision, false, ['delete a', 'delete b']]);
});

test('states, in between and at once', async t => {
  const etcd = client(t);
  const watch = etcd.watch('a', { states: true, ref: true });
  const told = [];
  watch.on('state', state => told.push(state.type));
  await watch.ready();
  await etcd.put('a', '1');
  const [live, change] = await take(watch, 2);
  assert.deepEqual([live.type, live.error, typeof live.revision, change.type], ['live', null, 'number', 'put']);
  assert.deepEqual(told, ['live']);
});

test('puts or deletions alone', async t => {
  const etcd = client(t);
  const puts = etcd.watch('a', { noDeletes: true, ref: true });
  const deletions = etcd.watch('a', { noPuts: true, ref: true });
  await Promise.all([puts.ready(), deletions.ready()]);
  await etcd.put('a', '1');
  await etcd.delete('a');
  await etcd.put('a', '2');
  await etcd.delete('a');
  assert.deepEqual((await take(puts, 2)).map(said), ['put a=1', 'put a=2']);
  assert.deepEqual((await take(deletions, 2)).map(said), ['delete a', 'delete a']);
});

test('a compacted history ends a watch, or is caught up with', async t => {
  const etcd = client(t);
  const { revision } = await etcd.put('a', '1');
  await etcd.put('a', '2');
  const last = await etcd.put('b', '1');
  await etcd.compact(last.revision);
  const watch = etcd.watch({ prefix: '' }, { startRevision: revision, states: true, ref: true });
  let [state] = await take(watch, 1);
  // Servers confirm it first.
  if (state.type === 'live') [state] = await take(watch, 1);
  assert.deepEqual([state.type, state.revision], ['compacted', last.revision]);
  await assert.rejects(watch.next(), error => {
    assert(error instanceof CompactedError);
    assert.equal(error.compactRevision, last.revision);
    return true;
  });
  assert.equal((await watch.next()).done, true, 'the error is told once');
  const caughtUp = etcd.watch({ prefix: '' }, { startRevision: revision, resync: true, ref: true });
  const changes = await take(caughtUp, 2);
  assert.deepEqual(changes.map(said).sort(), ['put a=2', 'put b=1']);
  assert(changes.every(({ resynced }) => resynced));
  await etcd.put('c', '1');
  const [next] = await take(caughtUp, 1);
  assert.deepEqual([said(next), next.resynced], ['put c=1', false]);
});

test('an abort ends a watch with its reason', async t => {
  const etcd = client(t);
  const before = etcd.watch('a', { signal: AbortSignal.abort(new Error('too late')) });
  await assert.rejects(before.next(), error => error instanceof CanceledError && error.cause.message === 'too late');
  const stop = new AbortController();
  const watch = etcd.watch('a', { signal: stop.signal, ref: true });
  await watch.ready();
  await etcd.put('a', '1');
  setTimeout(() => stop.abort(), 50);
  const seen = [];
  await assert.rejects(async () => {
    for await (const change of watch) seen.push(said(change));
  }, ({ name, code, cause }) => name === 'AbortError' && code === 'ETCD_ERR_CANCELED' && cause === stop.signal.reason);
  assert.deepEqual(seen, ['put a=1']);
  const waiting = etcd.watch('a', { signal: AbortSignal.timeout(50), ref: true });
  await assert.rejects(Promise.all([waiting.next(), waiting.next()]), { name: 'AbortError' });
});

test('closing ends loops that wait', async t => {
  const etcd = client(t);
  const watches = [etcd.watch('a', { ref: true }), etcd.watch('a', { ref: true })];
  const loops = watches.map(async watch => {
    for await (const change of watch) assert.fail(said(change));
    return 'ended';
  });
  await watches[1].ready();
  watches[0].close();
  await etcd.close();
  assert.deepEqual(await Promise.all(loops), ['ended', 'ended']);
  const late = etcd.isClosed && (() => etcd.watch('a'));
  assert.throws(late, { name: 'ClosedError' });
  const unconfirmed = client(t).watch('a');
  unconfirmed.close();
  await assert.rejects(unconfirmed.ready(), { name: 'ClosedError' });
});

test('several readers of a watch share its changes', async t => {
  const etcd = client(t);
  const watch = etcd.watch({ prefix: '' }, { ref: true });
  await watch.ready();
  const readers = [watch.next(), watch.next(), watch.next()];
  await etcd.txn().do(...['a', 'b', 'c', 'd'].map(key => op.put(key, '1'))).commit();
  const all = await Promise.all([...readers, watch.next()]);
  assert.deepEqual(all.map(({ value }) => said(value)), ['put a=1', 'put b=1', 'put c=1', 'put d=1']);
});

test('a slow reader holds up nobody else, and misses nothing', async t => {
  const etcd = client(t);
  const value = Buffer.alloc(10_000, 'x');
  const slow = etcd.watch({ prefix: 'k' }, { maxBytes: 500_000, ref: true });
  const quick = etcd.watch({ prefix: 'k' }, { ref: true });
  await Promise.all([slow.ready(), quick.ready()]);
  const parked = new Promise(resolve => slow.on('state', ({ type }) => type === 'parked' && resolve()));
  const writer = (async () => {
    for (let i = 0; i < 400; i++) await etcd.put(`k${i}`, value);
  })();
  const keys = changes => changes.map(({ key }) => key.toString());
  const wanted = Array.from({ length: 400 }, (_, i) => `k${i}`);
  assert.deepEqual(keys(await take(quick, 400)), wanted, 'while the slow one is not read');
  await writer;
  assert.equal(etcd.counters().watchesParked, 1);
  const first = await take(slow, 250);
  await parked;
  assert.deepEqual(keys([...first, ...await take(slow, 150)]), wanted);
});

test('the event loop gets its turn between many changes', async t => {
  const etcd = client(t);
  const { revision } = await etcd.put('k', '');
  const total = 20_000;
  for (let i = 0; i < total / 100; i++) {
    await etcd.txn().do(...Array.from({ length: 100 }, (_, n) => op.put(`k${n}`, Buffer.alloc(64)))).commit();
  }
  const watch = etcd.watch({ prefix: 'k' }, { startRevision: revision + 1, ref: true });
  await watch.ready();
  // Busy for a while, so that much has come when the loop turns again.
  for (const end = Date.now() + 500; Date.now() < end;);
  let turns = 0;
  let isOver = false;
  const counting = (async () => {
    for (; !isOver; turns++) await turn();
  })();
  await take(watch, total);
  isOver = true;
  await counting;
  const bytes = total * (48 + 72);
  assert(turns > bytes / 65536 / 2, `${turns} turns`);
});

test('a watch that can\'t be', async t => {
  const etcd = client(t);
  if (onMem) return;
  const future = etcd.watch('a', { startRevision: 1_000_000_000, ref: true });
  await sleep(100);
  assert.notEqual(future.state, 'closed', 'the future comes some day');
  future.close();
  await assert.rejects(etcd.get('a', { revision: 1_000_000_000 }), FutureRevisionError);
});
