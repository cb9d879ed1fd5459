// A service of which one instance leads, and works.   node leader.mjs [ENDPOINTS [NAME]]
// Start several, with different names; end the one that leads (Ctrl-C): the next one goes on at once.
import { setTimeout as sleep } from 'node:timers/promises';
import { NotHeldError, op, open } from 'etcd-api';

const [endpoints = 'mem://', name = `${process.pid}`] = process.argv.slice(2);
const etcd = open(endpoints);
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stop.abort());

async function follow() {
  for await (const leader of etcd.observe('service/leader', { signal: stop.signal })) {
    console.log(leader === null ? 'nobody leads' : `leader: ${leader.value}`);
  }
}

// In short steps, so that a loss is noticed soon; and what is written is guarded, should it be noticed too late.
async function work(leadership) {
  const { signal } = leadership;
  for (let n = 1; !signal.aborted && !stop.signal.aborted; n++) {
    const { succeeded } = await leadership.guard(etcd.txn()).do(op.put('service/state', `${name} ${n}`)).commit({ signal });
    if (succeeded && n === 1) console.log('working');
    await sleep(200, undefined, { signal: AbortSignal.any([signal, stop.signal]) });
  }
}

async function lead() {
  const leadership = await etcd.elect('service/leader', { value: name, ttl: 5, signal: stop.signal });
  try {
    await work(leadership);
  } finally {
    await leadership.resign();
  }
}

follow().catch(() => {});
while (!stop.signal.aborted) {
  try {
    await lead();
  } catch (error) {
    if (error instanceof NotHeldError) console.log('lost the lead');
    else if (error.name !== 'AbortError') console.error(error.message);
    // To the end of the queue; not at once, should servers not be found.
    await sleep(1000, undefined, { signal: stop.signal }).catch(() => {});
  }
}
await etcd.close();
console.log('stopped');
