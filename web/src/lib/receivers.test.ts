import { describe, expect, it } from "vitest";
import type { ReceiverInfo } from "./api/types";
import { blank, inputOf, isFailing, placeOf, whoseOf } from "./receivers";

describe("receivers of notifications", () => {
  it("are made of what is typed", () => {
    const mail = { ...blank(), kind: "email" as const, server: " smtp.x ", from: "f@x", to: "a@x; b@x\n", user: "u", secret: " p ", whose: "owner" as const, owner: " anna " };
    expect(inputOf(mail)).toEqual({
      way: { kind: "email", server: "smtp.x", port: null, tls: "tls", user: "u", from: "f@x", to: ["a@x", "b@x"] },
      events: blank().events,
      jobs: { owner: "anna" },
      secret: "p",
    });
    expect(inputOf({ ...blank(), kind: "matrix", url: "https://m", room: "!a:m" }).way).toEqual({ kind: "matrix", homeserver: "https://m", room: "!a:m" });
    expect(inputOf(blank()).secret).toBeNull();
  });

  it("are told of in a line", () => {
    const info: ReceiverInfo = { name: "r", way: { kind: "webhook", url: "https://x" }, events: [], jobs: "named", has_secret: true, waiting: 0, lost: 0 };
    expect(placeOf(info)).toBe("https://x, signed");
    expect(whoseOf("named")).toBe("those that name it");
    expect(whoseOf({ owner: "anna" })).toBe("of anna");
  });

  it("fail by the last that was sent", () => {
    const info: ReceiverInfo = { name: "r", way: { kind: "slack" }, events: [], jobs: "all", has_secret: true, waiting: 0, lost: 0 };
    expect(isFailing(info)).toBe(false);
    expect(isFailing({ ...info, error: { at: 2, text: "no" }, delivered_at: 1 })).toBe(true);
    expect(isFailing({ ...info, error: { at: 2, text: "no" }, delivered_at: 3 })).toBe(false);
  });
});
