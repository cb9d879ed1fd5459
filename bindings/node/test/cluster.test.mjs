import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EtcdError, LeaseNotFoundError, open } from 'etcd-api';
import { client, onMem, servers } from './helpers.mjs';

test('leases', async t => {
  const etcd = client(t);
  const { id, ttl } = await etcd.leases.grant(100);
  assert.deepEqual([typeof id, ttl], ['bigint', 100]);
  await etcd.put('a', '1', { lease: id });
  assert.equal((await etcd.get('a')).lease, id);
  assert.deepEqual(await etcd.leases.keepAliveOnce(id), { id, ttl: 100 });
  const state = await etcd.leases.timeToLive(id, { keys: true });
  assert(state.ttl > 90 && state.ttl <= 100);
  assert.deepEqual([state.grantedTtl, state.keys.map(String)], [100, ['a']]);
  assert.deepEqual((await etcd.leases.timeToLive(id)).keys, []);
  assert((await etcd.leases.list()).includes(id));
  await etcd.leases.revoke(id);
  assert.equal(await etcd.get('a'), null);
  assert.equal((await etcd.leases.keepAliveOnce(id)).ttl, 0);
  assert.equal((await etcd.leases.timeToLive(id)).ttl, -1);
  await assert.rejects(etcd.leases.revoke(id), LeaseNotFoundError);
  await assert.rejects(etcd.put('a', '1', { lease: id }), LeaseNotFoundError);
});

test('a lease with an id over 2^53', async t => {
  const etcd = client(t);
  const wanted = 2n ** 62n + BigInt(Date.now());
  assert.equal((await etcd.leases.grant(100, { id: wanted })).id, wanted);
  assert((await etcd.leases.list()).includes(wanted));
  await etcd.leases.revoke(wanted);
  const small = 12345n + BigInt(process.pid);
  assert.equal((await etcd.leases.grant(100, { id: small })).id, small, 'a BigInt, however small it is');
  await etcd.leases.revoke(small);
});

test('a key with a TTL of its own', async t => {
  const etcd = client(t);
  const { lease } = await etcd.put('a', '1', { ttl: 100 });
  assert.equal((await etcd.get('a')).lease, lease);
  assert.notEqual(lease, 0n);
});

test('members and status', async t => {
  const etcd = client(t);
  await etcd.put('a', '1');
  const members = await etcd.members();
  assert.equal(members.length, 1);
  assert.deepEqual([typeof members[0].id, members[0].isLearner], ['bigint', false]);
  const [status] = await etcd.status();
  assert.equal(status.error, null);
  assert.equal(status.leader, members[0].id);
  assert.match(status.version, onMem ? /^etcd-api / : /^3\./);
  assert(status.raftTerm > 0 && status.dbSize > 0);
  if (!onMem) assert.equal(status.endpoint, `http://${servers}`);
  assert.equal((await etcd.syncMembers()).length, 1);
});

test('the status of an endpoint that is not there', async () => {
  const etcd = open('127.0.0.1:1');
  const [status] = await etcd.status();
  assert(status.error instanceof EtcdError);
  assert.deepEqual([status.error.code, status.endpoint, status.leader], ['ETCD_ERR_UNAVAILABLE', 'http://127.0.0.1:1', 0n]);
  await assert.rejects(etcd.get('a'), ({ name, retriable, outcomeUnknown, endpoint, message }) => {
    assert.deepEqual([name, retriable, outcomeUnknown, endpoint], ['UnavailableError', true, false, 'http://127.0.0.1:1']);
    return message.includes('connection refused');
  });
  await etcd.close();
});

test('hash, alarms, authentication, compaction', async t => {
  const etcd = client(t);
  const { revision } = await etcd.put('a', '1');
  await etcd.put('a', '2');
  const { hash, compactRevision } = await etcd.hash();
  assert(Number.isSafeInteger(hash) && Number.isSafeInteger(compactRevision));
  assert.equal((await etcd.hash({ revision })).hash >= 0, true);
  const [{ id }] = await etcd.members();
  assert.deepEqual(await etcd.alarms(), []);
  await etcd.raiseAlarm({ member: id, alarm: 'noSpace' });
  assert.deepEqual(await etcd.alarms(), [{ member: id, alarm: 'noSpace' }]);
  await assert.rejects(etcd.put('a', '3'), ({ name }) => name === 'NoSpaceError');
  for (const alarm of await etcd.alarms()) await etcd.disarmAlarm(alarm);
  assert.deepEqual(await etcd.alarms(), []);
  await assert.rejects(etcd.authenticate('me', 'secret'), EtcdError);
  await etcd.compact(revision, { physical: true });
});

test('counters', async t => {
  const etcd = client(t);
  await etcd.put('a', '1');
  const watch = etcd.watch('a');
  await watch.ready();
  assert.deepEqual([etcd.counters().open, etcd.counters().holdsLost], [1, 0]);
  if (!onMem) assert(etcd.counters().connections >= 1);
  watch.close();
});
