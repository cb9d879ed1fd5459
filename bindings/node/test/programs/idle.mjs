// Ends by itself, though a client is open and a watch is live.
import { etcd } from './common.mjs';

const watch = etcd.watch('a');
await watch.ready();
await etcd.put('a', '1');
const value = await etcd.getString('a');
watch.next().then(() => {}, () => {});
process.on('exit', code => console.log(`read ${value}, ending with ${code}`));
