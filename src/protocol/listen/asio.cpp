// The one place that compiles Boost.Asio itself (BOOST_ASIO_SEPARATE_COMPILATION); every door links
// to it.
#include <boost/asio/impl/src.hpp>
