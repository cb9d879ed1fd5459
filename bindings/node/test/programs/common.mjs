// What programs that are run to their end share.
import { threadId } from 'node:worker_threads';
import { open } from 'etcd-api';

export const etcd = open(process.env.ETCD_TEST_ENDPOINTS
  ? { endpoints: process.env.ETCD_TEST_ENDPOINTS, namespace: process.env.ETCD_TEST_NAMESPACE ?? `node-exit/${process.pid}/` }
  : `mem://exit-${process.pid}`);

/** Watches, calls in flight, changes that come, locks that are held and wanted: as busy as can be. */
export async function beBusy(count = 5) {
  const watches = Array.from({ length: count }, () => etcd.watch({ prefix: '' }));
  await Promise.all(watches.map(watch => watch.ready()));
  for (const watch of watches) (async () => { for await (const _ of watch); })().catch(() => {});
  const write = async i => {
    for (let n = 0; ; n++) await etcd.put(`k${i}`, `${n}`);
  };
  for (let i = 0; i < 20; i++) write(i).catch(() => {});
  const passOn = async name => {
    for (;;) await (await etcd.lock(name)).release();
  };
  for (let i = 0; i < 6; i++) passOn(`lock${i % 2}`).catch(() => {});
  const mine = `held${threadId}`;
  const held = await etcd.elect(mine);
  held.on('lost', () => {});
  etcd.lock(mine, { signal: held.signal }).catch(() => {});
  (async () => { for await (const _ of etcd.observe('lock0')); })().catch(() => {});
}
