import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidArgumentError, compare, op, open } from 'etcd-api';
import { client } from './helpers.mjs';

const NO_BYTES = [undefined, null, 1, NaN, 1n, true, {}, [], ['a'], Symbol('a'), () => {}, new Uint16Array(2),
  new ArrayBuffer(2), new DataView(new ArrayBuffer(2)), '\ud800', 'a\udc00b', new Date()];
const NO_NUMBERS = [NaN, Infinity, -Infinity, -1, 0.5, 2 ** 53, 1n, '1', null, {}, true];
const NO_LEASES = [1, 0, -1n, 2n ** 63n, '1', null, NaN, {}];
const NO_FLAGS = [1, 0, 'true', null, {}];

test('keys and values that are none', async t => {
  const etcd = client(t);
  for (const bad of NO_BYTES) {
    for (const attempt of [() => etcd.get(bad), () => etcd.getString(bad), () => etcd.put(bad, 'x'), () => etcd.put('x', bad),
      () => etcd.getRange(bad), () => etcd.count(bad), () => etcd.delete(bad), () => etcd.delete({ prefix: bad }),
      () => etcd.getRange({ start: bad }), () => etcd.put('x', 'y', { ifValue: bad === undefined ? null : bad }),
      () => etcd.authenticate('me', bad)]) {
      await assert.rejects(attempt, TypeError, `${String(attempt)} with ${String(bad?.constructor?.name)}`);
    }
    assert.throws(() => etcd.watch(bad), TypeError);
    assert.throws(() => op.put('x', bad), TypeError);
    assert.throws(() => compare.value('x', '==', bad), TypeError);
  }
  for (const bad of NO_BYTES.slice(1)) assert.throws(() => etcd.getAll(bad), TypeError);
  assert.equal(await etcd.count({ prefix: '' }), 0);
});

test('numbers, leases and flags that are none', async t => {
  const etcd = client(t);
  const refused = attempt => assert.rejects(attempt, TypeError);
  for (const bad of NO_NUMBERS) {
    await refused(etcd.get('a', { revision: bad }));
    await refused(etcd.get('a', { timeout: bad }));
    await refused(etcd.put('a', 'b', { ttl: bad }));
    await refused(etcd.put('a', 'b', { ifModRevision: bad }));
    await refused(etcd.compact(bad));
    await refused(etcd.hash({ revision: bad }));
    await refused(etcd.leases.grant(bad));
    await refused(etcd.close({ timeout: bad }));
    assert.throws(() => etcd.watch('a', { startRevision: bad }), TypeError);
    assert.throws(() => etcd.getAll('a', { pageSize: bad }), TypeError);
    assert.throws(() => compare.version('a', '>', bad), TypeError);
  }
  for (const bad of NO_LEASES) {
    if (bad !== 0) await refused(etcd.leases.revoke(bad));
    await refused(etcd.put('a', 'b', { lease: bad }));
    await refused(etcd.leases.grant(1, { id: bad }));
    await refused(etcd.leases.timeToLive(bad));
    await refused(etcd.leases.keepAliveOnce(bad));
    assert.throws(() => compare.lease('a', '==', bad), TypeError);
  }
  for (const bad of NO_FLAGS) {
    await refused(etcd.get('a', { serializable: bad }));
    await refused(etcd.put('a', 'b', { ifAbsent: bad }));
    await refused(etcd.compact(1, { physical: bad }));
    assert.throws(() => etcd.watch('a', { batches: bad }), TypeError);
  }
  await refused(etcd.alarms({ signal: {} }));
  await refused(etcd.get('a', { signal: new AbortController() }));
  await refused(etcd.disarmAlarm({ member: 1, alarm: 'noSpace' }));
  await refused(etcd.disarmAlarm({ member: 1n, alarm: 'fire' }));
  await refused(etcd.disarmAlarm({ member: 2n ** 64n, alarm: 'noSpace' }));
});

test('options that mean nothing are no options', async t => {
  const etcd = client(t);
  await assert.rejects(etcd.delete('a', { prefix: true }), /delete has no option `prefix`; there are: /);
  await assert.rejects(etcd.get('a', { revison: 1 }), TypeError);
  await assert.rejects(etcd.delete({ prefx: 'a' }), TypeError);
  await assert.rejects(etcd.delete({ prefix: 'a', start: 'b' }), TypeError);
  await assert.rejects(etcd.delete({}), TypeError);
  // etcd would take it for the one key `start`.
  await assert.rejects(etcd.delete({ start: 'a', end: '' }), /`end` is empty/);
  assert.throws(() => compare.exists({ start: 'a', end: new Uint8Array(0) }), TypeError);
  await assert.rejects(etcd.put('a', 'b', 'c'), TypeError);
  await assert.rejects(etcd.members({ all: true }), TypeError);
  await assert.rejects(etcd.txn().commit({ key: 1 }), TypeError);
  await assert.rejects(etcd.get('a', { toString: 1 }), TypeError);
  assert.throws(() => etcd.getAll({ prefix: 'a' }, { sortBy: 'value' }), TypeError);
  assert.throws(() => op.put('a', 'b', { ifAbsent: true }), TypeError);
  assert.equal(await etcd.get('a', { revision: undefined, timeout: undefined, signal: undefined }), null);
});

test('transactions of nonsense', async t => {
  const etcd = client(t);
  assert.throws(() => etcd.txn().if('a'), TypeError);
  assert.throws(() => etcd.txn().if(op.get('a')), TypeError);
  assert.throws(() => etcd.txn().do(compare.exists('a')), TypeError);
  assert.throws(() => etcd.txn().do(etcd.get('a').catch(() => {})), TypeError);
  assert.throws(() => compare.version('a', '>=', 1), TypeError);
});

test('what only the library can refuse', async t => {
  const etcd = client(t);
  await assert.rejects(etcd.get(''), InvalidArgumentError);
  await assert.rejects(etcd.put('', 'x'), InvalidArgumentError);
  await assert.rejects(etcd.put('a', 'x', { ttl: 5, lease: 7n }), InvalidArgumentError);
  assert.throws(() => etcd.watch(''), InvalidArgumentError);
  assert.throws(() => etcd.watch('a', { noPuts: true, noDeletes: true }), error =>
    error instanceof InvalidArgumentError && error.message === 'both puts and deletions are left out: there is nothing to watch');
  await assert.rejects(etcd.put('a', 'x', { lease: 7n, ignoreLease: true }), InvalidArgumentError);
  await assert.rejects(etcd.put('a', 'x', { ignoreValue: true }), InvalidArgumentError);
  for (const keys of [{ prefix: 'a' }, { start: 'a' }]) {
    for (const condition of [{ ifPresent: true }, { ifValue: 'x' }, { ifModRevision: 0 }, { ifCreateRevision: 1 }]) {
      await assert.rejects(etcd.delete(keys, condition), InvalidArgumentError);
    }
  }
});

test('clients that can\'t be opened', () => {
  for (const bad of [1, null, true, 1n]) assert.throws(() => open(bad), TypeError);
  assert.throws(() => open('127.0.0.1:99999'), InvalidArgumentError);
  assert.throws(() => open({ endpoints: 'mem://', requestTimeoutMs: -5 }), TypeError);
  assert.throws(() => open({ endpoints: 'mem://', requestTimeoutMs: 0 }), InvalidArgumentError);
  assert.throws(() => open({ endpoints: 'mem://', requestTimeout: 5 }), /no option "request_timeout"/);
  assert.throws(() => open({ endpoints: 'mem://', request_timeout_ms: 5 }), TypeError);
  assert.throws(() => open({ endpoints: 'mem://', user: 'a\0b' }), TypeError);
  assert.throws(() => open({ endpoints: 'mem://', user: {} }), TypeError);
  // No port, but a host: it would be looked for.
  assert.throws(() => open({ endpoints: ['127.0.0.1', 2379] }), TypeError);
  assert.throws(() => open({ endpoints: 2379 }), TypeError);
  assert.throws(() => open({ endpoints: '127.0.0.1', caFile: '/no/such/file' }), InvalidArgumentError);
});
