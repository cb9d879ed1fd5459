// Ends in the middle of it all.   busy.mjs exit|throw|reject|natural|kill|worker|worker-exit
import { Worker, isMainThread, parentPort } from 'node:worker_threads';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const [how] = process.argv.slice(2);
const ends = {
  exit: () => process.exit(7),
  throw: () => setImmediate(() => { throw new Error('as planned'); }),
  reject: () => { Promise.reject(new Error('as planned')); },
  // An unhandled end of everything: the loops' calls keep the process alive, so their client is closed behind them.
  natural: async () => (await import('./common.mjs')).etcd.close({ timeout: 0 }),
  kill: () => process.kill(process.pid, 'SIGTERM'),
};

async function busyFor(milliseconds) {
  const { beBusy } = await import('./common.mjs');
  await beBusy();
  await sleep(milliseconds);
}

async function worker(isTerminated) {
  const one = new Worker(fileURLToPath(import.meta.url), { argv: [isTerminated ? 'wait' : 'exit'] });
  const ended = new Promise(resolve => one.once('exit', resolve));
  await new Promise(resolve => one.once('message', resolve));
  await sleep(Math.random() * 30);
  if (isTerminated) await one.terminate();
  await ended;
}

if (!isMainThread) {
  busyFor(0).then(() => {
    parentPort.postMessage('busy');
    if (how === 'exit') setTimeout(() => process.exit(), Math.random() * 20);
  });
} else if (how.startsWith('worker')) {
  await Promise.all([worker(how === 'worker'), worker(how === 'worker'), worker(how === 'worker')]);
  console.log('workers are gone');
} else {
  await busyFor(Math.random() * 30);
  await ends[how]();
}
