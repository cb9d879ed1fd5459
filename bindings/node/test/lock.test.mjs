import assert from 'node:assert/strict';
import { once, getEventListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { CanceledError, ClosedError, InvalidArgumentError, LostError, NotHeldError, TimeoutError, op, open } from 'etcd-api';
import { client, place } from './helpers.mjs';

/** Two clients of one place. */
function two(t) {
  const where = place();
  return [client(t, where), client(t, where)];
}

const isLost = error => error instanceof LostError && error.code === 'ETCD_ERR_LOST';

test('a lock is held until it is released', async t => {
  const [etcd, other] = two(t);
  const lock = await etcd.lock('jobs', { ttl: 7, value: 'me' });
  assert.match(lock.key.toString(), /^jobs\/[0-9a-f]+$/);
  const place = await other.get(lock.key);
  assert.deepEqual([place.createRevision, place.value], [lock.token, Buffer.from('me')]);
  assert.equal(typeof lock.token, 'number');
  assert.deepEqual([`${lock.value}`, lock.isHeld, lock.signal.aborted], ['me', true, false]);
  assert(lock.remainingMs > 3000 && lock.remainingMs <= 7000, `${lock.remainingMs}`);
  assert.equal((await other.leases.timeToLive(place.lease)).grantedTtl, 7);
  const told = [];
  lock.on('lost', error => told.push(error));

  const next = other.lock('jobs');
  await lock.release();
  assert.deepEqual([lock.isHeld, lock.remainingMs], [false, 0]);
  const second = await next;
  assert(second.token > lock.token && second.isHeld);
  assert.match(`${second.value}`, new RegExp(`:${process.pid}$`), 'host and process');
  await second.release();
  assert.equal(await other.count({ prefix: 'jobs/' }), 0);
  assert.deepEqual([told, lock.signal.aborted], [[], false], 'a release is no loss');
  while (etcd.counters().open + other.counters().open > 0) await sleep(5);
});

test('a second release is the first one', async t => {
  const [etcd, other] = two(t);
  const lock = await etcd.lock('jobs');
  await Promise.all([lock.release(), lock.release()]);
  const next = await other.lock('jobs');
  await lock.release();
  assert.equal(next.isHeld, true, 'a later place is nobody else\'s to release');
  await next[Symbol.asyncDispose]();
  assert.equal(next.isHeld, false);
});

test('how long is waited', async t => {
  const [etcd, other] = two(t);
  const lock = await etcd.lock('jobs');
  for (const wait of [0, 100]) {
    const start = performance.now();
    await assert.rejects(other.lock('jobs', { wait }), error => {
      assert(error instanceof TimeoutError, error);
      assert(error.message.includes(`${lock.key}`), error.message);
      return true;
    });
    assert(performance.now() - start >= wait);
  }
  assert.equal(await etcd.count({ prefix: 'jobs/' }), 1, 'its places are given up');
  const forever = other.lock('jobs', { wait: Infinity });
  await sleep(200);
  await lock.release();
  assert.equal((await forever).isHeld, true);
  assert.equal((await etcd.lock('others', { wait: 0 })).isHeld, true);
});

test('who asks first gets it first', async t => {
  const [etcd, other] = two(t);
  const first = await etcd.lock('jobs');
  const order = [];
  const waiting = [];
  for (let i = 0; i < 10; i++) {
    const wanted = (i % 2 ? etcd : other).lock('jobs').then(async lock => {
      order.push(i);
      await lock.release();
      return lock.token;
    });
    waiting.push(wanted);
    while (await etcd.count({ prefix: 'jobs/' }) < i + 2) await sleep(5);
  }
  await first.release();
  const tokens = await Promise.all(waiting);
  assert.deepEqual(order, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.deepEqual([...tokens].sort((one, two) => one - two), tokens, 'tokens grow');
});

test('an abort before, during and after', async t => {
  const [etcd, other] = two(t);
  const early = AbortSignal.abort(new Error('too late'));
  await assert.rejects(etcd.lock('jobs', { signal: early }), error => error instanceof CanceledError && error.cause === early.reason);
  assert.equal(await etcd.count({ prefix: 'jobs/' }), 0);

  const late = new AbortController();
  const lock = await etcd.lock('jobs', { signal: late.signal });
  assert.equal(getEventListeners(late.signal, 'abort').length, 0);
  const stop = new AbortController();
  const waiting = other.lock('jobs', { signal: stop.signal });
  while (await etcd.count({ prefix: 'jobs/' }) < 2) await sleep(5);
  stop.abort();
  await assert.rejects(waiting, { name: 'AbortError', code: 'ETCD_ERR_CANCELED', cause: stop.signal.reason });
  assert.equal(await etcd.count({ prefix: 'jobs/' }), 1);

  late.abort();
  await sleep(50);
  assert.deepEqual([lock.isHeld, lock.signal.aborted], [true, false], 'it was for the wait');
  await lock.release();
});

test('an abort that races the lock ends in the truth', async t => {
  const [etcd, other] = two(t);
  const count = { held: 0, aborted: 0 };
  for (let i = 0; i < 60; i++) {
    const stop = new AbortController();
    const wanted = etcd.lock('jobs', { signal: stop.signal });
    if (i % 3 === 0) setImmediate(() => stop.abort());
    else setTimeout(() => stop.abort(), i % 5);
    try {
      const lock = await wanted;
      assert.equal(lock.isHeld, true);
      count.held++;
      await lock.release();
    } catch (error) {
      assert.equal(error.name, 'AbortError');
      count.aborted++;
    }
  }
  t.diagnostic(JSON.stringify(count));
  const lock = await other.lock('jobs', { wait: 5000 });
  await lock.release();
  while (await other.count({ prefix: 'jobs/' }) > 0) await sleep(20);
});

const LOSSES = {
  'its key was removed': (etcd, lock) => etcd.delete(lock.key),
  'its lease was revoked': async (etcd, lock) => etcd.leases.revoke((await etcd.get(lock.key)).lease),
};

for (const [how, lose] of Object.entries(LOSSES)) {
  test(`a loss is told: ${how}`, async t => {
    const [etcd, other] = two(t);
    const lock = await etcd.lock('jobs', { ref: true });
    const told = [];
    lock.on('lost', error => told.push(error));
    const aborted = new Promise(resolve => lock.signal.addEventListener('abort', resolve));
    const waiting = other.lock('jobs');
    const lost = once(lock, 'lost');
    await lose(other, lock);
    const [error] = await lost;
    await aborted;
    assert(isLost(error), error);
    assert.equal(lock.signal.reason, error);
    assert.deepEqual([lock.isHeld, lock.remainingMs], [false, 0]);
    await assert.rejects(lock.release(), ({ code, cause }) => code === 'ETCD_ERR_NOT_HELD' && cause === error);
    await assert.rejects(lock.release(), NotHeldError, 'and it stays so');
    assert.equal((await waiting).isHeld, true);
    assert.equal(told.length, 1);
    assert.equal(etcd.counters().holdsLost, 1);
  });
}

test('what is guarded is done by the holder alone', async t => {
  const [etcd, other] = two(t);
  // A key without a lease is no place in the queue.
  for (const takeAway of [key => other.delete(key), key => other.put(key, 'a word')]) {
    const lock = await etcd.lock('jobs');
    const write = value => lock.guard(etcd.txn()).do(op.put('state', value)).else(op.get('state')).commit();
    assert.equal((await write('first')).succeeded, true);
    await takeAway(lock.key);
    const { succeeded, results } = await write('second');
    assert.equal(succeeded, false);
    assert.equal(`${results[0].kvs[0].value}`, 'first');
  }
  const next = await etcd.lock('jobs');
  await next.release();
  assert.equal((await next.guard(other.txn()).commit()).succeeded, false, 'nor behind a release');
  for (const bad of [undefined, {}, 'txn', op.put('a', 'b')]) assert.throws(() => next.guard(bad), TypeError);
});

test('a client that is closed tells its holders, and releases', async t => {
  const [etcd, other] = two(t);
  const lock = await etcd.lock('jobs', { ttl: 60 });
  const next = other.lock('jobs');
  const waiting = etcd.lock('jobs');
  const mine = etcd.lock('mine', { signal: new AbortController().signal });
  waiting.catch(() => {});
  await mine;
  const lost = once(lock, 'lost');
  const closed = etcd.close();
  assert.deepEqual([lock.isHeld, lock.signal.aborted, lock.signal.reason.name], [false, true, 'ClosedError'], 'at once');
  assert((await lost)[0] instanceof ClosedError);
  await assert.rejects(waiting, ClosedError);
  await closed;
  assert.equal((await next).isHeld, true, 'long before its TTL');
  await assert.rejects(lock.release(), NotHeldError);
  await assert.rejects(etcd.lock('jobs'), ClosedError);
  await assert.rejects(etcd.elect('jobs'), ClosedError);
  await assert.rejects(etcd.leader('jobs'), ClosedError);
  assert.throws(() => etcd.observe('jobs'), ClosedError);
});

test('the signal of a lock may be passed to many', async t => {
  const etcd = client(t);
  const warnings = [];
  const warned = warning => warnings.push(warning.name);
  process.on('warning', warned);
  const lock = await etcd.lock('jobs');
  for (let i = 0; i < 50; i++) lock.signal.addEventListener('abort', () => {});
  await sleep(10);
  process.off('warning', warned);
  assert.deepEqual(warnings, []);
  await lock.release();
});

test('a lock outlives an event loop that is blocked for twice its TTL', async t => {
  const [etcd, other] = two(t);
  const lock = await etcd.lock('jobs', { ttl: 2 });
  const told = [];
  lock.on('lost', error => told.push(error));
  let isHeldByOthers = false;
  const waiting = other.lock('jobs', { ttl: 2 }).then(next => { isHeldByOthers = true; return next; });
  while (await etcd.count({ prefix: 'jobs/' }) < 2) await sleep(5);
  for (const end = performance.now() + 4500; performance.now() < end;);
  assert.equal(lock.isHeld, true);
  await sleep(100);
  assert.deepEqual([lock.isHeld, isHeldByOthers, told], [true, false, []]);
  assert.equal((await other.get(lock.key)).createRevision, lock.token);
  await lock.release();
  await (await waiting).release();
});

test('many locks at once', async t => {
  const etcd = client(t);
  const locks = await Promise.all(Array.from({ length: 300 }, (_, i) => etcd.lock(`jobs/${i % 100}/x`, { wait: i < 100 ? Infinity : 5000 })
    .then(async lock => {
      await lock.release();
      return lock;
    })));
  assert.equal(new Set(locks.map(({ key, token }) => `${key} ${token}`)).size, 300);
  assert.equal(await etcd.count({ prefix: 'jobs/' }), 0);
});

test('an election', async t => {
  const [etcd, other] = two(t);
  const observer = other.observe('service', { ref: true });
  const words = async count => {
    const seen = [];
    while (seen.length < count) seen.push((await observer.next()).value);
    return seen;
  };
  assert.deepEqual(await words(1), [null]);
  assert.equal(await other.leader('service'), null);
  const first = await etcd.elect('service', { value: 'one' });
  const leader = await other.leader('service');
  assert.deepEqual(leader, { key: first.key, value: Buffer.from('one'), token: first.token, revision: first.token,
    lease: (await etcd.get(first.key)).lease });
  const second = other.elect('service', { value: 'two' });
  const { revision } = await first.proclaim('one again');
  assert.deepEqual(`${first.value}`, 'one again');
  await first.resign();
  assert.equal((await second).isHeld, true);
  await assert.rejects(first.proclaim('still me'), NotHeldError);
  await (await second).release();
  const seen = (await words(4)).map(word => (word === null ? null : `${word.value} ${word.token}`));
  assert.deepEqual(seen.filter(word => word !== null),
    [`one ${first.token}`, `one again ${first.token}`, `two ${(await second).token}`]);
  assert(revision > first.token);
  observer.close();
  assert.equal((await observer.next()).done, true);
});

test('an observer ends', async t => {
  const etcd = client(t);
  const aborted = etcd.observe('service', { signal: AbortSignal.timeout(50), ref: true });
  await assert.rejects(async () => { for await (const leader of aborted) assert.equal(leader, null); }, { name: 'AbortError' });
  const open = etcd.observe('service', { ref: true });
  assert.equal((await open.next()).value, null);
  const next = open.next();
  await etcd.close();
  assert.equal((await next).done, true);
});

test('locks that can\'t be', async t => {
  const etcd = client(t);
  for (const attempt of [(...given) => etcd.lock(...given), (...given) => etcd.elect(...given)]) {
    for (const bad of [undefined, null, 5, {}, '\ud800']) await assert.rejects(attempt(bad), TypeError);
    for (const bad of [NaN, -1, 0.5, '5', null, -Infinity, 2 ** 53]) {
      await assert.rejects(attempt('a', { wait: bad }), TypeError, `${bad}`);
      await assert.rejects(attempt('a', { ttl: bad }), TypeError, `${bad}`);
    }
    for (const bad of [null, 5, {}, '\ud800']) await assert.rejects(attempt('a', { value: bad }), TypeError);
    await assert.rejects(attempt('a', { timeout: 5 }), /no option `timeout`/);
    await assert.rejects(attempt('a', { signal: {} }), TypeError);
    await assert.rejects(attempt('a', { ref: 1 }), TypeError);
    await assert.rejects(attempt('a', 5), TypeError);
    await assert.rejects(attempt(''), InvalidArgumentError);
    await assert.rejects(attempt('a', { ttl: 0 }), InvalidArgumentError);
  }
  const lock = await etcd.elect('a');
  await assert.rejects(lock.release({ wait: 5 }), TypeError);
  await assert.rejects(lock.release({ timeout: -1 }), TypeError);
  await assert.rejects(lock.release({ signal: 'now' }), TypeError);
  assert.equal(lock.isHeld, true, 'a mistake releases nothing');
  await assert.rejects(lock.proclaim(5), TypeError);
  assert.throws(() => etcd.observe('a', { ref: 1 }), TypeError);
  assert.throws(() => etcd.observe(5), TypeError);
  assert.throws(() => etcd.observe(''), InvalidArgumentError);
  await assert.rejects(etcd.leader(''), InvalidArgumentError);
  assert.equal(await etcd.count({ prefix: '' }), 1);
});

test('servers that nobody finds', async () => {
  const etcd = open({ endpoints: '127.0.0.1:1', requestTimeoutMs: 300 });
  await assert.rejects(etcd.lock('a'), ({ retriable }) => retriable === true);
  await assert.rejects(etcd.leader('a'), ({ retriable }) => retriable === true);
  await etcd.close();
});
