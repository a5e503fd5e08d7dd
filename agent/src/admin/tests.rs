use super::*;

#[tokio::test]
async fn what_is_asked_is_heard_and_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(SOCKET);
    assert!(matches!(look(&path).await, Err(AskError::NotRunning(_))));
    fs::write(&path, "left from before").unwrap();
    let (_sender, mut questions) = listen(&path, Metrics::default()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let (heard, looked) = tokio::join!(questions.recv(), look(&path));
    assert!(matches!(heard, Some(Question::Look)) && looked.is_ok());
    let answer = async {
        let Some(Question::Status(reply)) = questions.recv().await else { panic!("no question") };
        reply.send("{}".into()).unwrap();
    };
    let ((), got) = tokio::join!(answer, status(&path));
    assert_eq!(got.unwrap(), "{}");
    for said in [Ok("as it was".to_owned()), Err("two faults".to_owned())] {
        let answer = async {
            let Some(Question::Reload(reply)) = questions.recv().await else { panic!("no question") };
            reply.send(said.clone()).unwrap();
        };
        let ((), got) = tokio::join!(answer, reload(&path));
        let got = got.map_err(|error| match error {
            AskError::Refused(why) => why,
            other => panic!("{other:?}"),
        });
        assert_eq!(got, said);
    }
    drop(questions);
    assert!(matches!(reload(&path).await, Err(AskError::Refused(said)) if said == "Lictor is ending\n"));
}
