//! Sends a granted mail: one connection, one message, a deadline.
//!
//! Boundary: the network. Who may be written to was decided before.
//!
//! Invariant: once the relay took the message, the mail counts as sent, whatever happens while we say
//! good-bye: an error there would send it twice.

use std::{
    fmt::{Debug, Display},
    io,
    path::PathBuf,
    time::Duration,
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use lettre::{
    Message,
    address::Envelope,
    message::Mailboxes,
    message::header::{self, ContentType, MIME_VERSION_1_0},
    transport::smtp::{
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{self, AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters},
        commands::{Ehlo, Starttls},
        extension::ClientId,
        response::Response,
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_util::compat::FuturesAsyncReadCompatExt;

use super::address;
use super::answers::{Answer, Answers};
use super::{Login, Mail, Parties, Relay, Security, SmtpError, SmtpGrant};
use crate::{GrantError, lookup, refusal, secret, secret::Sent, trust};

/// The right side of the Message-ID. One for all, so that the same delivery has the same on every node.
const MESSAGE_ID_DOMAIN: &str = "lictor";
/// Characters of the left side: as long as a line of a mail may be, with room for the rest.
const MAX_ID: usize = 200;
/// How long the relay has to answer our good-bye.
const QUIT: Duration = Duration::from_secs(1);
/// Bytes of a relay's answer that are told.
const MAX_ANSWER: usize = 1000;

/// What a connection is made on.
trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin + Debug + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + Debug + 'static> Stream for S {}

/// What is ready before the first mail: whom the relay's connection trusts. None where there is no TLS.
pub(crate) struct Sender {
    tls: Option<TlsParameters>,
}

impl Sender {
    /// Reads the system's roots or the CA file, as far as the grant needs them.
    pub(crate) fn build(grant: Option<&SmtpGrant>) -> Result<Self, GrantError> {
        let tls = match grant {
            Some(grant) if grant.relay.security != Security::None => {
                Some(tls(&grant.relay, grant.ca_file.as_ref())?)
            }
            _ => None,
        };
        Ok(Self { tls })
    }

    /// Sends the mail and answers with the relay's own words.
    pub(crate) async fn send(
        &self,
        grant: &SmtpGrant,
        parties: Parties,
        mail: Mail,
    ) -> Result<String, SmtpError> {
        let what = format!("send mail through {}", grant.relay);
        let limit = mail.timeout;
        let message =
            compose(parties, &mail).map_err(|why| SmtpError::Permanent(format!("{what}: {why}")))?;
        let sending = async {
            let (credentials, sent) =
                credentials(grant.login.as_ref()).await.map_err(SmtpError::Transient)?;
            let told = |said: String| {
                let said = sent.hide(said.into_bytes());
                refusal::shorten(String::from_utf8_lossy(&said), MAX_ANSWER)
            };
            match self.exchange(&grant.relay, credentials, &message).await {
                Ok((answer, connection)) => Ok((told(answer), connection)),
                Err(error) => Err(error.map(told)),
            }
        };
        let (answer, mut connection) = timeout(limit, sending)
            .await
            .unwrap_or_else(|_| Err(SmtpError::Transient(format!("no answer within {limit:?}"))))
            .map_err(|error| error.during(&what))?;
        drop(timeout(QUIT.min(limit), connection.quit()).await);
        Ok(answer)
    }

    /// What the relay says of a message, and the connection.
    async fn exchange(
        &self,
        relay: &Relay,
        credentials: Option<Credentials>,
        message: &Message,
    ) -> Result<(String, AsyncSmtpConnection), SmtpError> {
        let mut connection = self.connect(relay).await?;
        if let Some(credentials) = credentials {
            connection.auth(DEFAULT_MECHANISMS, &credentials).await.map_err(|error| classify(&error))?;
        }
        let answer = connection.send(message.envelope(), &message.formatted()).await;
        let answer = answer.map_err(|error| classify(&error))?;
        Ok((words(&answer), connection))
    }

    async fn connect(&self, relay: &Relay) -> Result<AsyncSmtpConnection, SmtpError> {
        let unconnected = |error: io::Error| SmtpError::Transient(format!("connect: {error}"));
        let mut found = lookup::system(relay.host.clone()).await.map_err(unconnected)?;
        for address in &mut found {
            address.set_port(relay.port);
        }
        let stream = TcpStream::connect(&found[..]).await.map_err(unconnected)?;
        let peer = stream.peer_addr().map_err(unconnected)?;
        match (&self.tls, relay.security) {
            (None, _) => hello(Answers::new(stream, peer)).await,
            (Some(tls), Security::Tls) => hello(Answers::new(encrypted(stream, tls).await?, peer)).await,
            (Some(tls), _) => {
                let stream = starttls(Answers::new(stream, peer)).await?;
                hello(Answers::greeted(encrypted(stream, tls).await?, peer)).await
            }
        }
    }
}

/// Who we say we are: an address literal, which any relay takes; a host's own name may be no valid one.
fn ourselves() -> ClientId {
    ClientId::default()
}

async fn hello(answers: Answers<impl Stream>) -> Result<AsyncSmtpConnection, SmtpError> {
    let connected = AsyncSmtpConnection::connect_with_transport(Box::new(answers), &ourselves()).await;
    connected.map_err(|error| classify(&error))
}

/// Has the relay begin TLS. It is done here since lettre would read what comes behind an answer of before as one of after.
async fn starttls(mut answers: Answers<TcpStream>) -> Result<TcpStream, SmtpError> {
    agreed(answers.answer().await)?;
    let offered = agreed(answers.ask(&Ehlo::new(ourselves()).to_string()).await)?;
    if !offered.lines.iter().any(|line| line == "STARTTLS") {
        return Err(SmtpError::Permanent("the relay does not offer STARTTLS".to_owned()));
    }
    agreed(answers.ask(&Starttls.to_string()).await)?;
    answers.into_stream().map_err(|error| unreachable(&error))
}

fn agreed(answer: io::Result<Answer>) -> Result<Answer, SmtpError> {
    match answer.map_err(|error| unreachable(&error))? {
        answer if answer.code >= 500 => Err(SmtpError::Permanent(answer.text())),
        answer if answer.code >= 400 => Err(SmtpError::Transient(answer.text())),
        answer => Ok(answer),
    }
}

async fn encrypted(stream: TcpStream, tls: &TlsParameters) -> Result<impl Stream, SmtpError> {
    #[expect(deprecated, reason = "lettre has no other way to TLS on a stream of one's own")]
    let mut stream = client::AsyncNetworkStream::use_existing_tokio1(Box::new(stream));
    stream.upgrade_tls(tls.clone()).await.map_err(|error| classify(&error))?;
    Ok(stream.compat())
}

fn unreachable(error: &io::Error) -> SmtpError {
    SmtpError::Transient(error.to_string())
}

impl SmtpError {
    fn during(self, what: &str) -> Self {
        self.map(|why| format!("{what}: {why}"))
    }

    /// Makes another text of what is not about a grant.
    fn map(self, text: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Refused(why) => Self::Refused(why),
            Self::Transient(why) => Self::Transient(text(why)),
            Self::Permanent(why) => Self::Permanent(text(why)),
        }
    }
}

fn tls(relay: &Relay, ca_file: Option<&PathBuf>) -> Result<TlsParameters, GrantError> {
    let mut builder = TlsParameters::builder(relay.host.clone());
    let fault = |error: &dyn Display| GrantError(format!("set up TLS for {relay}: {error}"));
    if let Some(path) = ca_file {
        builder = builder.certificate_store(CertificateStore::None);
        for certificate in trust::certificates(path)? {
            let certificate = Certificate::from_der(certificate.to_vec()).map_err(|error| fault(&error))?;
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build_rustls().map_err(|error| fault(&error))
}

/// Who we are, and what no answer may show of that: a relay that does not know a command likes to repeat it.
///
/// A password that cannot be read now may be there at the next attempt, so its error is transient.
async fn credentials(login: Option<&Login>) -> Result<(Option<Credentials>, Sent), String> {
    let Some(Login { username, password_file }) = login else { return Ok((None, Sent::of(&[])?)) };
    let password = secret::read(password_file).await?;
    // As AUTH PLAIN and AUTH LOGIN send it.
    let encoded =
        [format!("\0{username}\0{password}"), password.clone()].map(|text| BASE64_STANDARD.encode(text));
    let sent = Sent::of(&[&encoded[..], std::slice::from_ref(&password)].concat())?;
    Ok((Some(Credentials::new(username.clone(), password)), sent))
}

/// Builds the message; the error says what in it cannot be sent.
pub(super) fn compose(parties: Parties, mail: &Mail) -> Result<Message, String> {
    if mail.id.len() > MAX_ID || !mail.id.split('.').all(is_atom) {
        let id = refusal::shorten(refusal::quote(&mail.id), MAX_ID);
        return Err(format!("{id} cannot be the left side of a Message-ID"));
    }
    // A subject made from an event may hold the line ends of a check's output.
    let subject: String = mail.subject.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let subject = address::no_encoded_word(&subject);
    let Parties { from, to } = parties;
    // Said here, or it would be read out of the headers, one address after the other.
    let recipients = to.iter().map(|to| to.email.clone()).collect();
    let envelope = Envelope::new(Some(from.email.clone()), recipients).map_err(|error| error.to_string())?;
    let builder = Message::builder()
        .from(from)
        // All at once: with each that is added, those before it would be read and written anew.
        .mailbox(header::To::from(to.into_iter().collect::<Mailboxes>()))
        .envelope(envelope)
        .subject(subject)
        .date_now()
        .message_id(Some(format!("<{}@{MESSAGE_ID_DOMAIN}>", mail.id)))
        .header(MIME_VERSION_1_0)
        .header(ContentType::TEXT_PLAIN);
    // Relays that read a lone CR or LF as a line end could be told that the message is over.
    let body = mail.body.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n");
    builder.body(body).map_err(|error| error.to_string())
}

/// What may stand between the dots of a Message-ID's left side (RFC 5322, `atext`).
fn is_atom(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c))
}

/// A relay's word decides where there is one. Without one, what lies in the message or the relay's
/// abilities stays wrong; the network, TLS and unreadable answers may be right next time.
fn classify(error: &lettre::transport::smtp::Error) -> SmtpError {
    let text = error.to_string().replace(['\r', '\n'], " ");
    if error.is_permanent() || error.is_client() {
        SmtpError::Permanent(text)
    } else {
        SmtpError::Transient(text)
    }
}

fn words(answer: &Response) -> String {
    let lines: Vec<&str> = answer.message().collect();
    format!("{} {}", answer.code(), lines.join(" "))
}
