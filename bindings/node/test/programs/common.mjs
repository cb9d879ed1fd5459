// What programs that are run to their end share.
import { open } from 'etcd-api';

export const etcd = open(process.env.ETCD_TEST_ENDPOINTS
  ? { endpoints: process.env.ETCD_TEST_ENDPOINTS, namespace: `node-exit/${process.pid}/` } : 'mem://');

/** Watches, calls in flight, changes that come: as busy as can be. */
export async function beBusy(count = 5) {
  const watches = Array.from({ length: count }, () => etcd.watch({ prefix: '' }));
  await Promise.all(watches.map(watch => watch.ready()));
  for (const watch of watches) (async () => { for await (const _ of watch); })().catch(() => {});
  const write = async i => {
    for (let n = 0; ; n++) await etcd.put(`k${i}`, `${n}`);
  };
  for (let i = 0; i < 20; i++) write(i).catch(() => {});
}
