// A watch that is to keep the process alive does, until it ends.   kept.mjs watch|client
import { etcd } from './common.mjs';

const watch = etcd.watch('a', { ref: process.argv[2] === 'watch' });
if (process.argv[2] === 'client') etcd.ref();
await watch.ready();
setTimeout(() => {
  console.log('still here');
  watch.close();
  etcd.unref();
}, 300).unref();
