//! The native protocol of Fanfare: commands, events, codes and their JSON and MessagePack codecs.
