// Holds a lock until it ends, one way or the other.   holder.mjs exit|throw|natural   or, in workers: holder.mjs workers TRIES
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker, isMainThread, parentPort } from 'node:worker_threads';
import { etcd } from './common.mjs';

const [how, tries] = process.argv.slice(2);
const TTL = 60;
const ends = {
  exit: () => process.exit(),
  throw: () => setImmediate(() => { throw new Error('as planned'); }),
  natural: () => {},
  wait: () => etcd.ref(),
};

async function hold() {
  await etcd.lock('held', { ttl: TTL });
  const watches = Array.from({ length: 3 }, () => etcd.watch('a'));
  await Promise.all(watches.map(watch => watch.ready()));
  parentPort?.postMessage('held');
  ends[how]();
}

async function worker(how) {
  const one = new Worker(fileURLToPath(import.meta.url), { argv: [how] });
  one.on('error', () => {});
  const ended = new Promise(resolve => one.once('exit', resolve));
  await new Promise(resolve => one.once('message', resolve));
  if (how === 'wait') await one.terminate();
  await ended;
  const lock = await etcd.lock('held', { wait: TTL * 500 });
  await lock.release();
  return readdirSync('/proc/self/fd').length;
}

if (isMainThread && how === 'workers') {
  const descriptors = [];
  for (let i = 0; i < tries; i++) for (const one of Object.keys(ends)) descriptors.push(await worker(one));
  console.log(JSON.stringify(descriptors));
  await etcd.close();
} else {
  await hold();
}
