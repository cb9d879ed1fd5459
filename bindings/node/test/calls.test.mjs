import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { CanceledError, ClosedError, TimeoutError, compare, op, open } from 'etcd-api';
import { client, place, silence, take } from './helpers.mjs';

test('a thousand calls in flight', async t => {
  const etcd = client(t);
  const numbers = Array.from({ length: 1000 }, (_, i) => i);
  await Promise.all(numbers.map(i => etcd.put(`k${i}`, `${i}`)));
  const values = await Promise.all(numbers.map(i => etcd.getString(`k${i}`)));
  assert.deepEqual(values, numbers.map(String));
  assert.equal(await etcd.count({ prefix: 'k' }), 1000);
  assert.equal(etcd.counters().open, 0);
});

test('large answers among small ones', async t => {
  const etcd = client(t);
  const sizes = [0, 10, 1000, 70_000, 10, 1_000_000, 65_536, 65_400, 65_300, 1];
  await Promise.all(sizes.map((size, i) => etcd.put(`k${i}`, Buffer.alloc(size, i))));
  const order = Array.from({ length: 200 }, (_, i) => i % sizes.length);
  const found = await Promise.all(order.map(i => etcd.get(`k${i}`)));
  found.forEach(({ value }, at) => assert.deepEqual(value, Buffer.alloc(sizes[order[at]], order[at])));
});

test('a timeout', async t => {
  const etcd = open(await silence(t));
  for (const timeout of [0, 1, 100]) {
    const start = performance.now();
    await assert.rejects(etcd.get('a', { timeout }), error => {
      assert(error instanceof TimeoutError, error);
      return error.code === 'ETCD_ERR_TIMEOUT' && error.message.includes('"a"');
    });
    assert(performance.now() - start < timeout + 1000);
  }
  await etcd.close();
});

test('the client\'s own timeout', async t => {
  const etcd = open({ endpoints: [await silence(t)], requestTimeoutMs: 50, connectTimeoutMs: 50 });
  await assert.rejects(etcd.put('a', 'b'), TimeoutError);
  await etcd.close();
});

test('an abort before a call sends nothing', async t => {
  const etcd = client(t);
  const signal = AbortSignal.abort(new Error('too late'));
  for (const attempt of [() => etcd.put('a', '1', { signal }), () => etcd.txn().do(op.put('a', '1')).commit({ signal }),
    () => etcd.members({ signal }), () => etcd.leases.grant(5, { signal }), () => etcd.getAll('a', { signal }).next()]) {
    await assert.rejects(attempt, error => {
      assert(error instanceof CanceledError);
      assert.deepEqual([error.name, error.cause, error.outcomeUnknown], ['AbortError', signal.reason, false]);
      return true;
    });
  }
  assert.equal(await etcd.get('a'), null);
});

test('an abort during a call ends it at once', async t => {
  const etcd = open(await silence(t));
  const stop = new AbortController();
  const start = performance.now();
  const calls = [etcd.get('a', { signal: stop.signal }), etcd.put('a', 'b', { signal: stop.signal }),
    etcd.status({ signal: stop.signal })];
  setTimeout(() => stop.abort(new Error('enough')), 50);
  for (const { status, reason } of await Promise.allSettled(calls)) {
    assert.deepEqual([status, reason.name, reason.cause.message], ['rejected', 'AbortError', 'enough']);
  }
  assert(performance.now() - start < 1000);
  assert.equal(getEventListeners(stop.signal, 'abort').length, 0);
  await etcd.close();
});

test('what only reads has no outcome that could be unknown', async t => {
  const etcd = open(await silence(t));
  const stop = new AbortController();
  const { signal } = stop;
  const reads = [etcd.get('a', { signal }), etcd.leader('a', { signal }), etcd.status({ signal }), etcd.syncMembers({ signal }),
    etcd.getAll('a', { signal }).next()];
  // By now all of them are under way.
  setTimeout(() => stop.abort(), 200);
  for (const { reason } of await Promise.allSettled(reads)) assert.equal(reason.outcomeUnknown, false, reason.message);
  await etcd.close();
});

test('an abort after a call changes nothing, and no listener is left', async t => {
  const etcd = client(t);
  const stop = new AbortController();
  const warned = [];
  const warn = warning => warned.push(warning.name);
  process.on('warning', warn);
  t.after(() => process.off('warning', warn));
  await Promise.all(Array.from({ length: 100 }, (_, i) => etcd.put(`k${i}`, '1', { signal: stop.signal })));
  const watch = etcd.watch('k1', { signal: stop.signal });
  await watch.ready();
  assert.equal(getEventListeners(stop.signal, 'abort').length, 1);
  watch.close();
  assert.equal(getEventListeners(stop.signal, 'abort').length, 0);
  stop.abort();
  assert.equal(await etcd.count({ prefix: 'k' }), 100);
  assert.deepEqual(warned, []);
});

test('an abort that races the answer is told the truth', async t => {
  const etcd = client(t);
  const [done, unknown, never] = [[], [], []];
  for (let i = 0; i < 200; i++) {
    const stop = new AbortController();
    // A key for each: a write whose outcome is not known may come behind the next one.
    const call = etcd.put(`k${i}`, 'x', { signal: stop.signal });
    if (i % 3 > 0) await sleep(i % 3 - 1);
    stop.abort();
    await call.then(() => done.push(`k${i}`), error => {
      assert.equal(error.name, 'AbortError');
      (error.outcomeUnknown ? unknown : never).push(`k${i}`);
    });
  }
  assert.equal(done.length + unknown.length + never.length, 200);
  await sleep(100);
  for (const key of done) assert.notEqual(await etcd.get(key), null, key);
  for (const key of never) assert.equal(await etcd.get(key), null, key);
});

test('use after close', async t => {
  const etcd = open(place());
  await etcd.put('a', '1');
  assert.equal(etcd.isClosed, false);
  await Promise.all([etcd.close(), etcd.close()]);
  await etcd.close();
  assert.equal(etcd.isClosed, true);
  for (const attempt of [() => etcd.get('a'), () => etcd.put('a', '1'), () => etcd.delete('a'), () => etcd.getRange('a'),
    () => etcd.getAll('a').next(), () => etcd.members(), () => etcd.txn().if(compare.exists('a')).commit(),
    () => etcd.leases.list(), () => etcd.hash()]) {
    await assert.rejects(attempt, error => error instanceof ClosedError && error.code === 'ETCD_ERR_CLOSED');
  }
  assert.throws(() => etcd.watch('a'), ClosedError);
  assert.equal(etcd.counters().open, 0);
  etcd.ref().unref();
});

test('close waits for what is in flight', async t => {
  const where = place();
  const etcd = open(where);
  const calls = Array.from({ length: 100 }, (_, i) => etcd.put(`k${i}`, '1'));
  await etcd.close();
  assert.equal((await Promise.all(calls)).length, 100);
});

test('close cuts off what does not end', async t => {
  const etcd = open(await silence(t));
  const call = etcd.get('a').catch(error => error);
  const start = performance.now();
  await etcd.close({ timeout: 50 });
  assert(performance.now() - start < 1000);
  assert((await call) instanceof ClosedError);
});

test('a client is disposed of', async () => {
  const etcd = open(place());
  await etcd[Symbol.asyncDispose]();
  assert.equal(etcd.isClosed, true);
});

test('an event loop that is blocked loses nothing', async t => {
  const etcd = client(t);
  const watch = etcd.watch({ prefix: 'k' }, { ref: true });
  await watch.ready();
  const calls = Array.from({ length: 300 }, (_, i) => etcd.put(`k${i}`, '1'));
  for (const end = Date.now() + 1500; Date.now() < end;);
  await Promise.all(calls);
  assert.equal((await take(watch, 300)).length, 300);
});

test('many clients', async t => {
  const clients = Array.from({ length: 50 }, () => client(t));
  await Promise.all(clients.map((etcd, i) => etcd.put('me', `${i}`)));
  const values = await Promise.all(clients.map(etcd => etcd.getString('me')));
  assert.deepEqual(values, clients.map((_, i) => `${i}`));
});
