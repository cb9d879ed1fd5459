// The same package for CommonJS.
import etcd = require('etcd-api');
import locked = require('etcd-api/locked');

const client: etcd.Client = etcd.open('mem://');
client.get('a').then((kv: etcd.KeyValue | null) => kv?.version.toFixed());
const isTimeout = (error: unknown): boolean => error instanceof etcd.TimeoutError;
void isTimeout;
const node: locked.Node = locked(client)({ path: '/master', value: 'x' });
node.start().then(() => client.lock('a')).then((lock: etcd.Lock) => lock.release());
