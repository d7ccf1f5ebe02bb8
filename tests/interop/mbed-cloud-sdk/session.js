// Does what lines of standard input say: {"id": 1, "api": "connect", "call": "listResources", "args": […]}; each is
// answered by a line {"id": 1, "result": …} or {"id": 1, "error": "…"}. The argument "NOTIFY" becomes a function whose
// calls are told by lines {"told": […]}. {"id": 1, "call": "listen"} starts a server for a webhook, and answers with its port.
//
//   node session.js OPTIONS      the SDK's options, as JSON
"use strict";
const http = require("http");
const path = require("path");
const readline = require("readline");
const sdk = require(path.join(process.env.SDK_MODULES, "mbed-cloud-sdk"));

const options = JSON.parse(process.argv[2]);
const apis = { connect: new sdk.ConnectApi(options), directory: new sdk.DeviceDirectoryApi(options) };

// What is the client's own machinery begins with an underscore.
function say(message) {
    const text = JSON.stringify(message, (name, value) => (name.startsWith("_") ? undefined : value));
    process.stdout.write(text + "\n");
}

function argument(value) {
    return value === "NOTIFY" ? (...told) => say({ told }) : value;
}

function listen(id) {
    const server = http.createServer((request, response) => {
        let body = "";
        request.on("data", (part) => (body += part));
        request.on("end", () => {
            say({ hook: { method: request.method, headers: request.headers, body: JSON.parse(body) } });
            apis.connect.notify(JSON.parse(body));
            response.writeHead(204).end();
        });
    });
    server.listen(0, "127.0.0.1", () => say({ id, result: server.address().port }));
}

async function run({ id, api, call, args = [] }) {
    if (call === "listen") return listen(id);
    try {
        const result = await apis[api][call](...args.map(argument));
        say({ id, result: result === undefined ? null : result });
    } catch (error) {
        say({ id, error: String((error && error.message) || error) });
    }
}

readline
    .createInterface({ input: process.stdin })
    .on("line", (line) => run(JSON.parse(line)))
    .on("close", () => process.exit(0));
