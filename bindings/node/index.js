'use strict';
const { Client } = require('./lib/client.js');
const { EtcdError, classes } = require('./lib/errors.js');
const { LibraryError } = require('./lib/library.js');
const { compare, op } = require('./lib/requests.js');

module.exports = { open: where => new Client(where), compare, op, EtcdError, LibraryError, ...classes };
