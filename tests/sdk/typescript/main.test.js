// One process for all tests: they share the server, the worker and the bundle of workflow code.
import './sdk.js';
import './children.js';
import './updates.js';
import './resets.js';
import './operators.js';
import './workers.js';
import './restarts.js';
import './update_restarts.js';
