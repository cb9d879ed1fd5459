import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CompareFailedError, FutureRevisionError, CompactedError, open } from 'etcd-api';
import { client, collect, place, texts } from './helpers.mjs';

test('a key is written, read and deleted', async t => {
  const etcd = client(t);
  assert.equal(await etcd.get('a'), null);
  assert.equal(await etcd.getString('a'), null);
  const first = await etcd.put('a', 'eins');
  assert.deepEqual(first, { revision: first.revision, previous: null, lease: 0n });
  const second = await etcd.set('a', 'zwei ü', { previous: true });
  assert.equal(second.revision, first.revision + 1);
  assert.equal(second.previous.value.toString(), 'eins');
  assert.deepEqual(await etcd.get('a'), {
    key: Buffer.from('a'), value: Buffer.from('zwei ü'), createRevision: first.revision, modRevision: second.revision,
    version: 2, lease: 0n,
  });
  assert.equal(await etcd.getString('a'), 'zwei ü');
  assert.equal(await etcd.getString('a', { revision: first.revision }), 'eins');
  assert.equal(await etcd.getString('a', { serializable: true }), 'zwei ü');
  const gone = await etcd.delete('a', { previous: true });
  assert.deepEqual([gone.deleted, gone.revision, texts(gone.previous)], [1, second.revision + 1, ['a=zwei ü']]);
  assert.deepEqual(await etcd.delete('a'), { revision: gone.revision, deleted: 0, previous: [] });
});

test('keys and values are bytes', async t => {
  const etcd = client(t);
  const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  const long = Buffer.alloc(1_000_000, 'x');
  await etcd.put(all, new Uint8Array(all.buffer, all.byteOffset + 7, 100));
  assert.deepEqual((await etcd.get(all)).value, all.subarray(7, 107));
  await etcd.put('long', long);
  await etcd.put('empty', '');
  assert.deepEqual((await etcd.get('long')).value, long);
  assert.equal((await etcd.get('empty')).value.length, 0);
  const emoji = await etcd.put('😀', '😀').then(() => etcd.get('😀'));
  assert.deepEqual([emoji.key.toString(), emoji.value.toString()], ['😀', '😀']);
});

test('what was read stays as it is', async t => {
  const etcd = client(t);
  await etcd.put('a', 'x'.repeat(100));
  const kept = await etcd.get('a');
  for (let i = 0; i < 200; i++) await etcd.put('a', 'y'.repeat(100));
  assert.equal(kept.value.toString(), 'x'.repeat(100));
});

async function ten(etcd) {
  await Promise.all(Array.from({ length: 10 }, (_, i) => etcd.put(`k/${i}`, `${9 - i}`)));
  await etcd.put('l', 'behind');
}

test('ranges', async t => {
  const etcd = client(t);
  await ten(etcd);
  const some = await etcd.getRange({ prefix: 'k/' }, { limit: 3 });
  assert.deepEqual([texts(some.kvs), some.count, some.more], [['k/0=9', 'k/1=8', 'k/2=7'], 10, true]);
  const slice = await etcd.getRange({ start: 'k/8', end: 'l' });
  assert.deepEqual([texts(slice.kvs), slice.count, slice.more], [['k/8=1', 'k/9=0'], 2, false]);
  assert.deepEqual(texts((await etcd.getRange({ start: 'k/9' })).kvs), ['k/9=0', 'l=behind']);
  assert.deepEqual(texts((await etcd.getRange('l')).kvs), ['l=behind']);
  const sorted = await etcd.getRange({ prefix: 'k/' }, { sortBy: 'value', sortOrder: 'descending', limit: 2 });
  assert.deepEqual(texts(sorted.kvs), ['k/0=9', 'k/1=8']);
  const bare = await etcd.getRange({ prefix: 'k/' }, { keysOnly: true, limit: 1 });
  assert.deepEqual(texts(bare.kvs), ['k/0=']);
  const { modRevision } = await etcd.get('l');
  assert.deepEqual(texts((await etcd.getRange({ prefix: '' }, { minModRevision: modRevision })).kvs), ['l=behind']);
  assert.equal((await etcd.getRange({ prefix: '' }, { maxModRevision: modRevision - 1 })).kvs.length, 10);
  assert.equal(await etcd.count({ prefix: 'k/' }), 10);
  assert.equal(await etcd.count('k'), 0);
  assert.equal((await etcd.delete({ start: 'k/0', end: 'k/3' })).deleted, 3);
  assert.equal((await etcd.delete({ prefix: '' })).deleted, 8);
});

test('all keys come in pages of one revision', async t => {
  const etcd = client(t);
  await ten(etcd);
  for (const pageSize of [1, 3, 10, 1000]) {
    const names = (await collect(etcd.getAll({ prefix: 'k/' }, { pageSize }))).map(({ key }) => key.toString());
    assert.deepEqual(names, Array.from({ length: 10 }, (_, i) => `k/${i}`), `pages of ${pageSize}`);
  }
  const seen = [];
  for await (const { key, value } of etcd.getAll({ prefix: 'k/' }, { pageSize: 2 })) {
    // What is changed meanwhile is not seen: neither what goes nor what comes.
    await etcd.put('k/9', 'changed');
    await etcd.put('k/99', 'new');
    await etcd.delete('k/8');
    seen.push(`${key}=${value}`);
  }
  assert.deepEqual(seen.slice(-2), ['k/8=1', 'k/9=0']);
  assert.equal(seen.length, 10);
  assert.equal((await collect(etcd.getAll())).length, 11);
  assert.equal((await collect(etcd.getAll({ start: 'k/5' }, { pageSize: 2, limit: 3 }))).length, 3);
  assert.deepEqual((await collect(etcd.getAll({ start: 'k/5', end: 'k/7' }, { pageSize: 1 }))).length, 2);
  for await (const { key } of etcd.getAll({ prefix: '' }, { pageSize: 2 })) {
    assert.equal(key.toString(), 'k/0');
    break;
  }
});

test('a prefix of the highest bytes has pages, too', async t => {
  const etcd = client(t);
  const keys = [0, 1, 2, 3].map(last => Buffer.from([0xff, 0xff, last]));
  for (const key of keys) await etcd.put(key, 'x');
  const found = await collect(etcd.getAll({ prefix: Buffer.from([0xff, 0xff]) }, { pageSize: 1 }));
  assert.deepEqual(found.map(({ key }) => key), keys);
});

test('conditions', async t => {
  const etcd = client(t);
  const refused = promise => assert.rejects(promise, error => {
    assert(error instanceof CompareFailedError);
    const { name, code, status, retriable, outcomeUnknown } = error;
    assert.deepEqual([name, code, status, retriable, outcomeUnknown],
      ['CompareFailedError', 'ETCD_ERR_COMPARE_FAILED', 71, false, false]);
    return true;
  });
  const { revision } = await etcd.put('a', '1', { ifAbsent: true });
  await refused(etcd.put('a', '2', { ifAbsent: true }));
  await refused(etcd.put('b', '2', { ifPresent: true }));
  await refused(etcd.put('a', '2', { ifValue: '3' }));
  await refused(etcd.put('a', '2', { ifModRevision: revision + 1 }));
  await refused(etcd.put('a', '2', { ifCreateRevision: 0 }));
  await refused(etcd.delete('a', { ifValue: '2' }));
  assert.equal(await etcd.getString('a'), '1');
  await etcd.put('a', '2', { ifValue: '1', ifModRevision: revision });
  await etcd.put('b', '2', { ifModRevision: 0 });
  await etcd.delete('a', { ifPresent: true, ifValue: Buffer.from('2') });
  assert.equal(await etcd.get('a'), null);
});

test('what history does not have', async t => {
  const etcd = client(t);
  await etcd.put('a', '1');
  const { revision } = await etcd.put('a', '2');
  await assert.rejects(etcd.get('a', { revision: revision + 1000000 }), FutureRevisionError);
  await etcd.compact(revision);
  await assert.rejects(etcd.get('a', { revision: revision - 1 }), CompactedError);
});

test('a failure says where it came from', async t => {
  const etcd = client(t);
  async function ofTheProgram() {
    await etcd.put('b', '1', { ifPresent: true });
  }
  await assert.rejects(ofTheProgram(), error => error.stack.includes('ofTheProgram'));
});

test('clients of one place see the same keys', async t => {
  const where = place();
  const [one, two] = [open(where), open(where)];
  t.after(() => Promise.all([one.close(), two.close()]));
  await one.put('a', '1');
  assert.equal(await two.getString('a'), '1');
});
