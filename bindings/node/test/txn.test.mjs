import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compare, op } from 'etcd-api';
import { client, texts } from './helpers.mjs';

test('a transaction takes one branch or the other', async t => {
  const etcd = client(t);
  await etcd.put('ann', '100');
  const move = () => etcd.txn()
    .if(compare.value('ann', '==', '100'), compare.missing('ben'))
    .do(op.put('ann', '60', { previous: true }), op.put('ben', '40'), op.get({ prefix: '' }, { sortBy: 'value' }))
    .else(op.get('ann'), op.delete({ prefix: 'b' }, { previous: true }))
    .commit();
  const moved = await move();
  assert.equal(moved.succeeded, true);
  const [put, other, range] = moved.results;
  assert.deepEqual([put.type, texts([put.previous]), other.type, other.previous], ['put', ['ann=100'], 'put', null]);
  assert.deepEqual([range.type, texts(range.kvs), range.count, range.more], ['get', ['ben=40', 'ann=60'], 2, false]);
  assert.equal(range.kvs[0].modRevision, moved.revision);
  assert.equal(typeof range.kvs[0].lease, 'bigint');
  const again = await move();
  assert.equal(again.succeeded, false);
  assert.deepEqual(again.results.map(({ type }) => type), ['get', 'delete']);
  assert.deepEqual([again.results[1].deleted, texts(again.results[1].previous)], [1, ['ben=40']]);
});

test('transactions in a transaction', async t => {
  const etcd = client(t);
  const inner = etcd.txn().if(compare.exists('a')).do(op.put('b', '1')).else(op.put('c', '1'));
  const outer = etcd.txn().do(op.get('a'), inner);
  const first = await outer.commit();
  assert.deepEqual([first.succeeded, first.results[1].type, first.results[1].succeeded], [true, 'txn', false]);
  await etcd.put('a', '1');
  // The same one may be committed again.
  assert.equal((await outer.commit()).results[1].succeeded, true);
  assert.equal(await etcd.count({ prefix: '' }), 3);
});

test('every comparison', async t => {
  const etcd = client(t);
  const lease = await etcd.leases.grant(100);
  const first = await etcd.put('a', 'm', { lease: lease.id });
  const last = await etcd.put('a', 'm', { lease: lease.id });
  const holds = async (...comparisons) => (await etcd.txn().if(...comparisons).commit()).succeeded;
  assert(await holds(compare.exists('a'), compare.missing('b'), compare.version('a', '==', 2), compare.version('b', '=', 0),
    compare.createRevision('a', '==', first.revision), compare.modRevision('a', '>', first.revision),
    compare.modRevision('a', '<', last.revision + 1), compare.lease('a', '==', lease.id), compare.value('a', '!=', 'x'),
    compare.value('a', '<', 'z'), compare.value('a', '>', Buffer.from('a'))));
  const wrong = [compare.missing('a'), compare.exists('b'), compare.version('a', '!=', 2),
    compare.lease('a', '!=', lease.id), compare.value('b', '!=', 'x'), compare.value('a', '>', 'z')];
  for (const [i, comparison] of wrong.entries()) assert.equal(await holds(comparison), false, `comparison ${i}`);
  await etcd.put('aa', 'm');
  assert(await holds(compare.value({ prefix: 'a' }, '==', 'm')));
  await etcd.put('ab', 'n');
  assert.equal(await holds(compare.value({ prefix: 'a' }, '==', 'm')), false);
  assert(await holds(compare.value({ start: 'a', end: 'ab' }, '==', 'm')));
});

test('an empty transaction, and a large one', async t => {
  const etcd = client(t);
  assert.deepEqual((await etcd.txn().commit()).results, []);
  const value = 'x'.repeat(10000);
  await etcd.put('long', value);
  const { results } = await etcd.txn().do(...Array.from({ length: 100 }, () => op.get('long'))).commit();
  assert.equal(results.length, 100);
  assert(results.every(({ kvs }) => kvs[0].value.toString() === value));
});
