//! The images a node reports: the largest ones, so that the scheduler can prefer nodes that hold them.

/// Names per image in the node's status, digests first.
const MAX_NAMES: usize = 5;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub names: Vec<String>,
    /// Bytes.
    pub size: i64,
}

impl Image {
    pub fn new(digests: Vec<String>, tags: Vec<String>, size: i64) -> Image {
        let mut names = digests;
        names.extend(tags);
        names.truncate(MAX_NAMES);
        Image { names, size }
    }
}

/// The `most` largest (all if negative), largest first; equal sizes by name, so that the list does not flap.
pub fn largest(mut images: Vec<Image>, most: i32) -> Vec<Image> {
    images.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.names.cmp(&b.names)));
    if let Ok(most) = usize::try_from(most) {
        images.truncate(most);
    }
    images
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str, size: i64) -> Image {
        Image::new(vec![], vec![name.to_owned()], size)
    }

    #[test]
    fn the_largest_are_kept() {
        let images = vec![image("small", 1), image("b", 5), image("a", 5), image("big", 9)];
        let names = |most| -> Vec<String> {
            largest(images.clone(), most)
                .into_iter()
                .flat_map(|image| image.names)
                .collect()
        };
        assert_eq!(names(3), ["big", "a", "b"]);
        assert_eq!(names(-1).len(), 4);
        assert!(names(0).is_empty());
    }

    #[test]
    fn an_image_has_five_names_at_most_digests_first() {
        let image = Image::new(vec!["d".into()], (0..9).map(|i| format!("t{i}")).collect(), 1);
        assert_eq!(image.names, ["d", "t0", "t1", "t2", "t3"]);
    }
}
