//! Small pictures of frames: given to who may look, as they were delivered.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use tessera_model::{Previews, Role};
use tessera_wire::problem::ProblemKind;
use tessera_wire::routes;

use crate::harness::{problem_of, start};
use crate::worker::{Link, put, result, submit};

#[tokio::test]
async fn previews_of_a_frame_are_served_as_they_were_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let artist = farm.client("ann", Role::Artist).await;
    let viewer = farm.client("vic", Role::Viewer).await;
    let member = farm.worker("w").await;
    let worker = member.identity.worker;
    let api = farm.end().api(None, Some(&member.certificate()));
    let (mut link, _) = Link::enter(&farm.end(), &member, 1, Vec::new())
        .await
        .unwrap();
    let job = submit(&artist, "-3..-1").await;
    let of =
        |frame: &str, query: &str| viewer.to(routes::PREVIEW, &[&job.to_string(), frame, query]);
    let lacks = async |frame: &str| {
        let answer = of(frame, "size=preview").send().await.unwrap();
        assert_eq!(answer.status(), 404, "{frame}");
        assert_eq!(problem_of(answer).await.kind, ProblemKind::NotFound);
    };
    let none = viewer.to(routes::PREVIEW, &["99", "1", ""]).send().await;
    assert_eq!(none.unwrap().status(), 404);
    lacks("7").await;
    lacks("-3").await;

    let deliver = async |link: &mut Link, previews: Option<Previews>| {
        let offer = link.lease().await;
        let mut done = result(&api, worker, &offer).await;
        done.previews = previews;
        let posted = api.to(routes::WORKER_RESULT, &[]).json(&done).send().await;
        (done.frame, posted.unwrap().status())
    };
    let previews = Previews {
        thumbnail: put(&api, b"small").await,
        preview: put(&api, b"larger").await,
    };
    assert_eq!(
        deliver(&mut link, Some(previews)).await,
        (-3, 200.try_into().unwrap())
    );
    for (query, bytes) in [
        ("size=thumbnail", "small"),
        ("size=preview", "larger"),
        ("", "larger"),
    ] {
        let answer = of("-3", query).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()[CONTENT_TYPE], "image/jpeg");
        assert_eq!(answer.headers()[CACHE_CONTROL], "private, no-cache");
        let tag = answer.headers()[ETAG].to_str().unwrap().to_owned();
        assert_eq!(answer.text().await.unwrap(), bytes);
        for (told, status) in [
            (tag.clone(), 304),
            (format!("\"x\", W/{tag}"), 304),
            ("\"x\"".into(), 200),
        ] {
            let asked = of("-3", query).header(IF_NONE_MATCH, told);
            assert_eq!(asked.send().await.unwrap().status(), status, "{query}");
        }
    }
    let asked = of("-3", "size=huge").send().await.unwrap();
    assert_eq!(asked.status(), 422);

    // What is no preview costs no frame.
    let large = Previews {
        preview: tessera_model::Blob {
            size: 1 << 40,
            ..previews.preview
        },
        ..previews
    };
    assert_eq!(deliver(&mut link, Some(large)).await.1, 200);
    lacks("-2").await;
    assert_eq!(deliver(&mut link, None).await.1, 200);
    lacks("-1").await;
}

#[tokio::test]
async fn a_frame_is_taken_only_with_the_previews_that_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let artist = farm.client("ann", Role::Artist).await;
    let member = farm.worker("w").await;
    let api = farm.end().api(None, Some(&member.certificate()));
    let (mut link, _) = Link::enter(&farm.end(), &member, 1, Vec::new())
        .await
        .unwrap();
    submit(&artist, "1").await;
    let offer = link.lease().await;
    let mut done = result(&api, member.identity.worker, &offer).await;
    let there = put(&api, b"there").await;
    done.previews = Some(Previews {
        thumbnail: there,
        preview: tessera_model::Blob {
            digest: [7; 32],
            ..there
        },
    });
    let posted = api.to(routes::WORKER_RESULT, &[]).json(&done).send().await;
    let problem = problem_of(posted.unwrap()).await;
    assert_eq!(problem.kind, ProblemKind::MissingBlobs);
}
