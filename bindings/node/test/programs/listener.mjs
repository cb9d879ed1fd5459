// What a listener throws is an uncaught exception as any other, and nothing else suffers from it.
import { etcd } from './common.mjs';

process.on('uncaughtException', error => console.log(`uncaught: ${error.message}`));
const watch = etcd.watch('a', { ref: true });
watch.on('state', () => { throw new Error('mine'); });
await watch.ready();
await etcd.put('a', '1');
const { value } = await watch.next();
console.log(`and saw ${value.key}=${value.value}`);
const lock = await etcd.lock('b', { ref: true });
lock.on('lost', () => { throw new Error('mine, too'); });
const lost = new Promise(resolve => lock.signal.addEventListener('abort', resolve));
await etcd.delete(lock.key);
await lost;
console.log(`and held ${(await etcd.lock('b')).isHeld}`);
await etcd.close();
