// Fifty watches and a writer, a lock and fifty who wait for it, while somebody restarts the server twice.
//   restart.mjs ENDPOINT
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { open } from 'etcd-api';

const WATCHES = 50;
const WAITING = 50;
const etcd = open({ endpoints: process.argv[2], namespace: 'restart/' });
const watches = Array.from({ length: WATCHES }, () => etcd.watch({ prefix: 'k' }, { states: true, ref: true }));
await Promise.all(watches.map(watch => watch.ready()));

// Which of the writes were made is for the server to say; each has a value of its own.
let isOver = false;
const writer = (async () => {
  for (let n = 0; !isOver; n++) {
    await etcd.put(`k${n % 7}`, `${n}`, { timeout: 1000 }).catch(() => sleep(20));
    await sleep(5);
  }
  for (;;) {
    try {
      return await etcd.put('k', 'last', { timeout: 1000 });
    } catch {
      await sleep(20);
    }
  }
})();

let resumed = Array.from(watches, () => 0);
let told = 0;
async function follow(watch, number) {
  const seen = [];
  let wasLost = false;
  for await (const item of watch) {
    if (item.type === 'resuming') wasLost = true;
    if (item.type === 'live' && wasLost) {
      wasLost = false;
      resumed[number]++;
      if (Math.min(...resumed) > told) {
        console.log('all resumed');
        if (++told === 2) isOver = true;
      }
    }
    if (item.type !== 'put') continue;
    seen.push(`${item.revision} ${item.key}=${item.value}`);
    if (item.value.toString() === 'last') return seen;
  }
  throw new Error('a watch ended');
}

// One after the other, so that their order is known.
const lock = await etcd.lock('lock', { ttl: 30 });
lock.on('lost', error => { throw error; });
const held = [];
let holders = 0;
async function wait(number) {
  const next = await etcd.lock('lock', { ttl: 30 });
  assert(!lock.isHeld && next.isHeld && ++holders === 1, 'one at a time');
  held.push({ number, token: next.token });
  await sleep(2);
  holders--;
  await next.release();
}
const waiting = [];
while (waiting.length < WAITING) {
  waiting.push(wait(waiting.length));
  while (await etcd.count({ prefix: 'lock/' }) <= waiting.length) await sleep(2);
}

console.log('live');
const all = await Promise.all(watches.map(follow));
await writer;
// What one should have seen is what the history has.
const revisions = all[0].map(line => Number(line.split(' ')[0]));
assert.deepEqual([...new Set(revisions)].sort((one, other) => one - other), revisions, 'once and in order');
for (const seen of all) assert.deepEqual(seen, all[0]);
for (const line of all[0]) {
  const [revision, key, value] = line.split(/[ =]/);
  assert.equal(await etcd.getString(key, { revision: Number(revision) }), value);
}
const last = await etcd.getRange({ prefix: 'k' });
assert.equal(last.kvs.reduce((sum, kv) => sum + kv.version, 0), all[0].length, 'nothing was left out');

assert.equal(held.length, 0, 'nobody else came to hold it');
assert.equal(lock.isHeld, true);
await lock.release();
await Promise.all(waiting);
assert.deepEqual(held.map(({ number }) => number), Array.from({ length: WAITING }, (_, i) => i), 'in their order');
const tokens = held.map(({ token }) => token);
assert.deepEqual([...tokens].sort((one, other) => one - other), tokens);
console.log(`each saw ${all[0].length} changes, resumed ${etcd.counters().watchesResumed} times; ${held.length} held the lock`);
await etcd.close();
