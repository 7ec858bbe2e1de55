// Runs a module with a browser's WebSocket, which Node has of its own from 22 on.
// Usage: node thai_asr.mjs <URL of the module>
globalThis.WebSocket ??= (await import("ws")).WebSocket;
await import(process.argv[2]);
