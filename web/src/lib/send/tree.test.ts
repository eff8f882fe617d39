import { describe, expect, it } from "vitest";
import { blends, rooted } from "./tree";

const sent = (...paths: string[]) => paths.map((path) => ({ path, file: new File([], path) }));
const paths = (files: { path: string }[]) => files.map(({ path }) => path);

describe("files that are sent", () => {
  it.each([
    [["shot.blend"], ["shot.blend"]],
    [["film/shot.blend", "film/tex/wood.png"], ["shot.blend", "tex/wood.png"]],
    [["film/a/shot.blend", "film/a/tex/wood.png"], ["shot.blend", "tex/wood.png"]],
    [["a/shot.blend", "b/wood.png"], ["a/shot.blend", "b/wood.png"]],
    [["film/shots/a.blend", "film/a.png"], ["shots/a.blend", "a.png"]],
    [["film/.DS_Store", "film/shots/a.blend", "film/shots/Thumbs.db"], ["a.blend"]],
    [[], []],
  ])("%j lie at %j", (from, to) => {
    expect(paths(rooted(sent(...from)))).toEqual(to);
  });

  it("the likeliest .blend comes first", () => {
    expect(paths(blends(sent("lib/props.blend", "b.BLEND", "a.blend", "a.blend1", "wood.png")))).toEqual(["a.blend", "b.BLEND", "lib/props.blend"]);
  });
});
