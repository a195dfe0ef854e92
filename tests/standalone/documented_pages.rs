//! Documents that show how to read the pages: their commands are run as they are written.

use anyhow::Result;
use keyplane_tests::curl_lines::curl_lines;
use keyplane_tests::{Program, workspace};

/// Each with the address at which its commands ask, and the least number of commands.
const DOCUMENTS: [(&str, &str, usize); 3] = [
    ("README.md", "localhost:8081", 5),
    ("api-server/zpages/README.md", "localhost:8081", 8),
    ("api-server/PAGES.md", "localhost:8081", 9),
];

#[tokio::test]
async fn the_commands_of_documents_do_what_they_say() -> Result<()> {
    let server = Program::api_server()?.start().await?;
    for (document, address, at_least) in DOCUMENTS {
        let lines = curl_lines(&std::fs::read_to_string(workspace::root().join(document))?, address)?;
        assert!(lines.len() >= at_least, "{document} has only {} commands for {address}", lines.len());
        for line in lines {
            let printed = line.run(&server).await?;
            assert!(!printed.trim().is_empty(), "{document}: `{}` prints nothing", line.line);
        }
    }
    Ok(())
}
