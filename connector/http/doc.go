// Package http holds the connectors of HTTP: ReadFromWebhook listens, ReadFromHttp polls or reads server-sent events, WriteToHttp sends.
//
// What a webhook or a poll received cannot be asked for again, so it goes through an inbox first: a log on disk, where there is a folder for
// it, and a window of what was seen. Only then it is answered. It knows no format of messages (connector/message does), and no retries
// (connector/retry). Its main types are the inbox, which is the Reader of what was received, and the sender.
package http
