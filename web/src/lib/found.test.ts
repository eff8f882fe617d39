import { expect, it } from "vitest";
import { found } from "./found";

it.each([
  ["abc", "", "abc"],
  ["abc", "b", "a[b]c"],
  ["Abab", "AB", "[Ab][ab]"],
  ["aaa", "aa", "[aa]a"],
  ["x", "y", "x"],
  ["", "y", ""],
  ["<b>", "<", "[<]b>"],
])("%s looked through for %s", (line, wanted, shown) => {
  expect(found(line, wanted).map(({ text, hit }) => (hit ? `[${text}]` : text)).join("")).toBe(shown);
});
