// A call that has not ended keeps the process alive, and nothing else does: nobody answers at that port.
import { open } from 'etcd-api';

open(process.argv[2]).get('a', { timeout: 700 }).catch(error => console.log(error.code));
