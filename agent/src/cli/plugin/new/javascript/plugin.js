// @NAME@: posts events to a URL. Make it what you need; README.md says what to run.

import { send } from 'lictor:plugin/http@0.1.0';

const SCHEMA = {
  type: 'object',
  properties: { url: { type: 'string', description: 'Where to post to.' } },
  required: ['url'],
  additionalProperties: false,
};

export const handler = {
  describe() {
    const configSchema = JSON.stringify(SCHEMA);
    return { name: '@NAME@', version: '0.1.0', summary: 'Posts events to a URL', configSchema };
  },

  requests(config) {
    return [{ tag: 'http', val: { method: 'POST', url: urlOf(config) } }];
  },

  handle(delivery, config) {
    const text = delivery.events.map(textOf).join('\n');
    const headers = [['Content-Type', 'application/json'], ['Idempotency-Key', delivery.id]];
    const body = utf8(JSON.stringify({ text }));
    const { status } = post({ method: 'POST', url: urlOf(config), headers, body, timeoutMs: 30_000 });
    if (status === 429 || status >= 500) fail({ tag: 'transient', val: `${status}` });
    if (status >= 300) fail({ tag: 'permanent', val: `${status}` });
    return `${status}`;
  },
};

/** The one setting, or why there is none. */
function urlOf(text) {
  const config = JSON.parse(text);
  for (const field of Object.keys(config)) {
    if (field !== 'url') fail(`${field}: unknown field, expected url`);
  }
  if (typeof config.url !== 'string' || !/^https?:\/\//.test(config.url)) fail('url: begins with neither https:// nor http://');
  return config.url;
}

function textOf(event) {
  const data = JSON.parse(event.data);
  if (event.type === 'lictor.check.status') {
    return `${data.check_name} on ${data.node} is ${data.to ?? 'gone'}: ${data.output}`;
  }
  return `${event.subject} ${event.type}`;
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

/** Ends the call with what its type has for an error: a text of `requests`, a failure of `handle`. */
function fail(payload) {
  throw Object.assign(new Error(String(payload.val ?? payload)), { payload });
}

/** Text as bytes: QuickJS has no TextEncoder. */
function utf8(text) {
  return Uint8Array.from(unescape(encodeURIComponent(text)), (char) => char.charCodeAt(0));
}
