// Needs --expose-gc.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { open } from 'etcd-api';
import { client, place, take } from './helpers.mjs';

/** How many operations of each sort, and abandoned locks; `make long` has a million, and ten thousand. */
const COUNT = Number(process.env.ETCD_TEST_OPERATIONS ?? 60_000);
const LOCKS = COUNT < 1_000_000 ? 3_000 : 10_000;

async function collectAll() {
  for (let i = 0; i < 6; i++) {
    global.gc();
    await turn();
  }
}

async function rss() {
  await collectAll();
  return process.memoryUsage().rss / 2 ** 20;
}

test('gets, puts and watch events leave the memory as it was', async t => {
  const etcd = client(t);
  const value = Buffer.alloc(64, 'x');
  let compactAt = 0;
  const round = async count => {
    const watch = etcd.watch('k', { ref: true });
    await watch.ready();
    for (let done = 0; done < count; done += 100) {
      const puts = await Promise.all(Array.from({ length: 100 }, () => etcd.put('k', value)));
      await Promise.all(Array.from({ length: 100 }, () => etcd.get('k')));
      await take(watch, 100);
      // Otherwise the store in the library keeps all of the past.
      if (done % 5000 === 0) await etcd.compact(compactAt = Math.max(...puts.map(({ revision }) => revision)));
    }
    watch.close();
  };
  await round(Math.min(COUNT, 20_000));
  const before = await rss();
  await round(COUNT);
  const after = await rss();
  t.diagnostic(`${COUNT} gets, puts and events: ${before.toFixed(1)} MiB, then ${after.toFixed(1)} MiB`);
  // What warming up takes, and 10 bytes for each operation.
  const allowed = 12 + COUNT / 100_000;
  assert(compactAt > 0 && after - before < allowed, `${before} MiB became ${after} MiB`);
});

test('large values leave the memory as it was', async t => {
  const etcd = client(t);
  await etcd.put('k', Buffer.alloc(1_000_000));
  const round = async () => {
    for (let i = 0; i < 100; i++) await etcd.get('k');
  };
  await round();
  const before = await rss();
  await round();
  assert(await rss() - before < 40);
});

const descriptors = () => readdirSync('/proc/self/fd').length;

test('what nobody has any more is collected', async () => {
  const where = place();
  await (await open(where)).get('a');
  await collectAll();
  const [before, memory] = [descriptors(), await rss()];
  let refs = [];
  for (let i = 0; i < 10_000; i++) refs.push(new WeakRef(open('mem://')));
  await collectAll();
  const left = refs.filter(ref => ref.deref()).length;
  assert(left < 10, `${left} of 10000 clients are left`);
  refs = [];
  for (let i = 0; i < 200; i++) {
    const etcd = open(where);
    await etcd.get('a');
    refs.push(new WeakRef(etcd));
    const watch = etcd.watch('a');
    await watch.ready();
    refs.push(new WeakRef(watch));
  }
  assert(descriptors() > before + 400, 'the broken twin: before anything is collected');
  for (let i = 0; i < 50 && descriptors() > before + 20; i++) {
    await collectAll();
    await sleep(20);
  }
  assert(descriptors() <= before + 20, `${before} descriptors became ${descriptors()}`);
  assert(refs.filter(ref => ref.deref()).length < 10);
  assert(await rss() - memory < 60);
});

test('a loop whose client and watch have no other holder goes on', async () => {
  const where = place();
  const writer = open(where);
  const { revision } = await writer.put('a', 'first');
  const seen = (async () => {
    for await (const { value } of open(where).watch('a', { ref: true, startRevision: revision })) {
      if (value?.toString() === 'last') return 'seen';
    }
    return 'ended';
  })();
  for (let i = 0; i < 20; i++) {
    await writer.put('a', `${i}`);
    await collectAll();
  }
  await writer.put('a', 'last');
  assert.equal(await seen, 'seen');
  await writer.close();
});

test('locks that nobody has any more are released', async t => {
  const where = place();
  const etcd = client(t, where);
  const looker = client(t, where);
  const count = () => looker.count({ prefix: 'lock/' });
  const some = from => Promise.all(Array.from({ length: 500 }, (_, i) => etcd.lock(`lock/${from + i}`, { ttl: 600 })));
  let locks = [];
  while (locks.length < LOCKS) locks = locks.concat(await some(locks.length));
  const told = [];
  locks[0].on('lost', () => told.push('lost'));
  locks[1].signal.addEventListener('abort', () => told.push('aborted'));
  const signals = locks.slice(2, 4).map(({ signal }) => signal);
  assert.equal(await count(), LOCKS, 'the broken twin: while somebody has them');
  locks = null;
  for (let i = 0; i < 500 && (await count() > 2 || etcd.counters().open > 2); i++) {
    await collectAll();
    await sleep(20);
  }
  assert.deepEqual([await count(), etcd.counters().open], [2, 2], 'who listens for a loss still holds');
  assert(signals.every(signal => signal.aborted && signal.reason.code === 'ETCD_ERR_CANCELED'), 'whose signal is left is told');
  await looker.delete({ prefix: 'lock/' });
  while (told.length < 2) await sleep(20);
  assert.deepEqual(told.sort(), ['aborted', 'lost']);
});
