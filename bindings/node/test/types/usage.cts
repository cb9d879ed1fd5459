// The same package for CommonJS.
import etcd = require('etcd-api');

const client: etcd.Client = etcd.open('mem://');
client.get('a').then((kv: etcd.KeyValue | null) => kv?.version.toFixed());
const isTimeout = (error: unknown): boolean => error instanceof etcd.TimeoutError;
void isTimeout;
