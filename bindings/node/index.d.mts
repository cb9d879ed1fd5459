export * from './index.js';
import * as etcd from './index.js';
export default etcd;
