// Pushes events to phones, through a topic of ntfy (https://ntfy.sh) or a server of one's own.
//
// A phone shows who is in trouble first: what is critical comes with the highest priority, and what passes again
// with the lowest.

import { send } from 'lictor:plugin/http@0.1.0';

const SCHEMA = {
  type: 'object',
  properties: {
    url: { type: 'string', description: 'The topic.' },
    title: { type: 'string', default: 'Lictor', description: 'What stands above the text.' },
  },
  required: ['url'],
  additionalProperties: false,
};

const PRIORITIES = { critical: '5', warning: '4', passing: '2' };

export const handler = {
  describe() {
    return {
      name: 'push',
      version: '0.1.0',
      summary: 'Pushes events to phones through ntfy',
      configSchema: JSON.stringify(SCHEMA),
    };
  },

  requests(config) {
    return [{ tag: 'http', val: { method: 'POST', url: read(config).url } }];
  },

  handle(delivery, config) {
    const { url, title = 'Lictor' } = read(config);
    for (const event of delivery.events) {
      const data = JSON.parse(event.data);
      const what = event.type.replace('lictor.', '');
      const text = what === 'check.status'
        ? `${data.check_name} is ${data.to ?? 'gone'} on ${data.node}: ${data.output}`
        : `${event.subject}: ${what}`;
      judge(post({
        method: 'POST',
        url,
        headers: [['Title', title], ['Priority', PRIORITIES[data.to] ?? '3'], ['Tags', what]],
        body: utf8(text),
        timeoutMs: 10_000,
      }));
    }
    return `pushed ${delivery.events.length}`;
  },
};

/** The configuration; what is thrown is told to the operator. */
function read(text) {
  const config = JSON.parse(text);
  for (const field of Object.keys(config)) {
    if (!(field in SCHEMA.properties)) fail(`${field}: unknown field, expected url or title`);
  }
  if (typeof config.url !== 'string') fail('url: required, a text');
  if (!/^https?:\/\//.test(config.url)) fail('url: begins with neither https:// nor http://');
  return config;
}

/** A call that was refused is refused for good; what else fails may pass. */
function post(request) {
  try {
    return send(request);
  } catch (error) {
    const { tag, val } = error.payload ?? { tag: 'failed', val: String(error) };
    return fail({ tag: tag === 'refused' ? 'permanent' : 'transient', val });
  }
}

function judge({ status }) {
  if (status === 429) fail({ tag: 'retry-after', val: ['ntfy wants to be left alone', 60_000] });
  if (status >= 500) fail({ tag: 'transient', val: `ntfy answered ${status}` });
  if (status >= 300) fail({ tag: 'permanent', val: `ntfy answered ${status}` });
}

/** Ends the call with what its type has for an error. */
function fail(payload) {
  throw Object.assign(new Error(String(payload.val ?? payload)), { payload });
}

/** Text as bytes: not every JavaScript engine for components has a TextEncoder. */
function utf8(text) {
  return Uint8Array.from(unescape(encodeURIComponent(text)), (char) => char.charCodeAt(0));
}
