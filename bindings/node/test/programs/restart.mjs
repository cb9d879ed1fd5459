// Fifty watches and a writer, while somebody restarts the server twice.   restart.mjs ENDPOINT
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { open } from 'etcd-api';

const WATCHES = 50;
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
console.log(`each saw ${all[0].length} changes, resumed ${etcd.counters().watchesResumed} times`);
await etcd.close();
