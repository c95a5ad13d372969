/*
 * One connection with the `ws` library, as a script on stdin says; what came
 * of it goes to stdout. Both are JSON:
 *
 *   {url, options, send, until, close}
 *     options  those of ws (ca, origin, ...)
 *     send     strings; {binary}; {fragments: [...]}; {ping}; {pause: ms};
 *              {stop: pid} sends no message but that process a SIGTERM
 *     until    how many events (messages, pings, pongs) end the script
 *     close    [code, reason] to close with then; without it, wait
 *
 *   {protocol, extensions, messages, pings, pongs, code, reason, error}
 */
'use strict';

const fs = require('fs');
const timers = require('timers/promises');
const WebSocket = require('ws');

const script = JSON.parse(fs.readFileSync(0, 'utf8'));
const seen = { messages: [], pings: 0, pongs: [] };
const socket = new WebSocket(script.url, script.options);
let events = 0;

function count() {
    events += 1;
    if (events === script.until && script.close)
        socket.close(...script.close);
}

function sendFragments(parts) {
    parts.forEach((part, i) =>
        socket.send(part, { fin: i === parts.length - 1 }));
}

socket.on('open', async () => {
    seen.protocol = socket.protocol;
    seen.extensions = socket.extensions;
    for (const item of script.send || []) {
        if (typeof item === 'string')
            socket.send(item);
        else if ('binary' in item)
            socket.send(Buffer.from(item.binary));
        else if ('fragments' in item)
            sendFragments(item.fragments);
        else if ('ping' in item)
            socket.ping(item.ping);
        else if ('stop' in item)
            process.kill(item.stop);
        else
            await timers.setTimeout(item.pause);
    }
});
socket.on('message', (data, isBinary) => {
    seen.messages.push(isBinary ? { binary: true } : data.toString());
    count();
});
socket.on('ping', () => {
    seen.pings += 1;
    count();
});
socket.on('pong', (data) => {
    seen.pongs.push(data.toString());
    count();
});
socket.on('error', (error) => {
    seen.error = error.code || error.message;
});
socket.on('unexpected-response', (request, response) => {
    seen.error = response.statusCode;
    request.destroy();
});
socket.on('close', (code, reason) => {
    seen.code = code;
    seen.reason = reason.toString();
});
process.on('exit', () => process.stdout.write(JSON.stringify(seen)));
