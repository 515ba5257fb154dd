"""Side by side: oneloop and its peers under the same loads, in interleaved rounds."""
