//! A first look: open, scan, render.

use tessera_blender::Overrides;

use crate::support::{Stage, builds};

#[tokio::test]
async fn opens_scans_and_renders() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        stage.make("simple.py", &[]);
        println!("{:?}", stage.blender.hello());
        println!("{:?}", stage.open("simple.blend").await.unwrap());
        println!("{:#?}", stage.scan().await);
        for frame in 1..4 {
            println!(
                "{:#?}",
                stage.render(frame, Overrides::default()).await.unwrap()
            );
        }
        println!(
            "{:#?}",
            stage
                .render(
                    3,
                    Overrides {
                        exr: true,
                        ..Overrides::default()
                    }
                )
                .await
                .unwrap()
        );
        stage.blender.quit().await.unwrap();
    }
}
