// The same package for `import`: one implementation, so that a class is the same class for both.
import etcd from './index.js';

export const {
  open, compare, op, EtcdError, LibraryError, InvalidArgumentError, ClosedError, CanceledError, TimeoutError,
  UnsupportedError, NoResourceError, UnavailableError, TlsError, BadReplyError, OtherClusterError,
  CompactedError, FutureRevisionError, UnauthenticatedError, PermissionDeniedError, TooLargeError,
  NoSpaceError, LeaseNotFoundError, TooManyRequestsError, RefusedError, KeyNotFoundError, CompareFailedError,
  LostError, NotHeldError,
} = etcd;
export default etcd;
