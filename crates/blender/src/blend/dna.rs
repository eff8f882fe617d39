//! Block `DNA1`: the names, types and sizes of the structs in a .blend.
//!
//! `SDNA`, then four tables, each begun by its name on a multiple of four bytes: `NAME` and `TYPE` (a count and so many texts), `TLEN`
//! (a 16-bit size for each type), `STRC` (a count, and for each struct its type, a count, and so many pairs of type and name).

use super::Unreadable;

/// Where a field is in its struct, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) offset: usize,
    pub(super) size: usize,
}

/// Finds the first of `fields` (without array bounds) that the struct has.
pub(super) fn field(
    dna: &[u8],
    structure: &str,
    fields: &[&str],
    pointer_size: usize,
) -> Result<Field, Unreadable> {
    let mut reader = Reader { dna, at: 0 };
    reader.tag(b"SDNA")?;
    reader.tag(b"NAME")?;
    let names = reader.texts()?;
    reader.tag(b"TYPE")?;
    let types = reader.texts()?;
    reader.tag(b"TLEN")?;
    let sizes: Vec<usize> = types
        .iter()
        .map(|_| reader.u16())
        .collect::<Result<_, _>>()?;
    reader.tag(b"STRC")?;
    let count = reader.u32()?;
    for _ in 0..count {
        let kind = reader.u16()?;
        let members: Vec<(usize, usize)> = (0..reader.u16()?)
            .map(|_| Ok((reader.u16()?, reader.u16()?)))
            .collect::<Result<_, Unreadable>>()?;
        if types.get(kind).copied() != Some(structure.as_bytes()) {
            continue;
        }
        let mut offset = 0;
        let mut found: Vec<(usize, Field)> = Vec::new();
        for (kind, name) in members {
            let name = names.get(name).copied().ok_or(CUT)?;
            let pointer = name.starts_with(b"*") || name.starts_with(b"(");
            let single = if pointer {
                pointer_size
            } else {
                *sizes.get(kind).ok_or(CUT)?
            };
            let size = single * elements(name);
            let bare = name.split(|byte| *byte == b'[').next().unwrap_or(name);
            if let Some(rank) = fields.iter().position(|field| field.as_bytes() == bare) {
                found.push((rank, Field { offset, size }));
            }
            offset += size;
        }
        return found
            .into_iter()
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, field)| field)
            .ok_or(ABSENT);
    }
    Err(ABSENT)
}

const CUT: Unreadable = Unreadable::Structure("its table of structs is cut");
const ABSENT: Unreadable = Unreadable::Structure("its table of structs lacks what is looked for");

/// The product of the bounds in `name[4][2]`.
fn elements(name: &[u8]) -> usize {
    let bounds = name.split(|byte| *byte == b'[').skip(1);
    let bound = |text: &[u8]| {
        std::str::from_utf8(text)
            .ok()?
            .trim_end_matches(']')
            .parse::<usize>()
            .ok()
    };
    bounds.map(|text| bound(text).unwrap_or(1)).product()
}

struct Reader<'a> {
    dna: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let taken = self
            .dna
            .get(self.at..self.at.saturating_add(count))
            .ok_or(CUT)?;
        self.at += count;
        Ok(taken)
    }

    fn tag(&mut self, tag: &[u8]) -> Result<(), Unreadable> {
        self.at = self.at.next_multiple_of(4);
        if self.take(4)? == tag {
            Ok(())
        } else {
            Err(Unreadable::Structure("its table of structs is not one"))
        }
    }

    fn u16(&mut self) -> Result<usize, Unreadable> {
        Ok(usize::from(u16::from_le_bytes(
            self.take(2)?.try_into().map_err(|_| CUT)?,
        )))
    }

    fn u32(&mut self) -> Result<usize, Unreadable> {
        let value = u32::from_le_bytes(self.take(4)?.try_into().map_err(|_| CUT)?);
        usize::try_from(value).map_err(|_| CUT)
    }

    fn texts(&mut self) -> Result<Vec<&'a [u8]>, Unreadable> {
        let count = self.u32()?;
        (0..count)
            .map(|_| {
                let rest = self.dna.get(self.at..).ok_or(CUT)?;
                let length = rest.iter().position(|byte| *byte == 0).ok_or(CUT)?;
                self.at += length + 1;
                Ok(&rest[..length])
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_multiply() {
        assert_eq!(elements(b"name[1024]"), 1024);
        assert_eq!(elements(b"mat[4][4]"), 16);
        assert_eq!(elements(b"*next"), 1);
    }

    #[test]
    fn cut_tables_are_refused() {
        for dna in [
            b"".as_slice(),
            b"SDNA",
            b"SDNANAME\xff\xff\xff\xffabc",
            b"nonsense",
        ] {
            assert!(field(dna, "Library", &["name"], 8).is_err());
        }
    }
}
