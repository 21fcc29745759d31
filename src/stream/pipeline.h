#pragma once

#include "stream/sink.h"
#include "stream/topic_feed.h"
#include "stream/view.h"

#include <map>
#include <memory>
#include <vector>

namespace ziwa::stream {

/// Views and sinks that step together, and the feeds of the topics they read. The main one holds
/// what readers see; a private one brings new views up to it. One thread.
class Pipeline {
 public:
  std::map<ObjectId, std::unique_ptr<TopicFeed>> feeds;
  std::vector<std::shared_ptr<View>> views;  ///< A view stands after those that it reads.
  std::vector<std::shared_ptr<Sink>> sinks;
  /// Whether errors that may pass are given to the caller, who does all again. Else they fail the
  /// view.
  bool patient = true;
  /// Whether a sink that meets an error that may pass is only marked as stalled.
  bool stalls_sinks = false;

  TopicFeed* feed(ObjectId topic);
  View* view(ObjectId id) const;
  /// Topics that a view or sink in here reads.
  bool reads(ObjectId topic) const;
  /// Adds a view: its watermarks come from this pipeline's feeds, and it follows those views in
  /// here that it reads. `watermark_from` must live as long as the view is in here.
  void add(std::shared_ptr<View> added);
  void add(std::shared_ptr<Sink> added);
  void remove(ObjectId id);
  /// Feeds that nobody reads go.
  std::vector<std::unique_ptr<TopicFeed>> drop_unused_feeds();
  void set_wants_blobs();

  /// Reads a topic and hands each chunk to every reader. Returns the number of records.
  Result<uint64_t> read(TopicFeed& feed, std::span<const TopicCut> cuts,
                        std::span<const IdleEvent> idles, const TopicFeed::OnDead& on_dead);
  /// Hands rows (all columns of the object) of one table or view to those that read it.
  /// `only`: to this view and sinks alone.
  Status push(ObjectId object, data::Scan& rows, Weight weight, const View* only = nullptr);
  /// What a topic or table held cannot be read any more: its readers fail.
  void fail_readers(ObjectId object, const Error& error);
  /// Ends the step of every view, in order. `spoken`: the last entry of the step that spoke of a
  /// topic or table; other changes count from `epoch`. Views and sinks that have failed are in here
  /// no more: true when there were some.
  Result<bool> finish(Epoch epoch, std::map<ObjectId, Epoch> spoken = {});
  void fail(View& view, const Error& error);
  void fail(Sink& sink, const Error& error);
  /// What an error of a view or sink means: an error comes back when the step must be done again.
  Status guard(View& view, Status status);
  Status guard(Sink& sink, Status status);

 private:
  Status finish_view(View& view, Epoch epoch, std::map<ObjectId, Epoch>& spoken);
  Status finish_sink(Sink& sink);
  bool drop_failed();
};

/// Whether an error may pass by itself: a full disk, a disk that does not read, what is not there
/// yet.
bool may_pass(const Error& error);
/// An error of what a view or sink reads, as they show it: if it is for good, and is none of what
/// cannot be read yet, rows are lost ("data_lost: ...").
Error lost(Error error);

/// Reads all rows of `scan` with the given columns and weight into `source`.
Status push_scan(data::Scan& scan, Source& source, Weight weight);

}  // namespace ziwa::stream
